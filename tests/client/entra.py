"""A stand-in for Microsoft's sign-in and Key Vault at the edge of the network.

azure-identity and its HTTP client are the real ones: only host names are led to a server on this machine,
which has a certificate that the client trusts for the time of a test.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

TENANT = "11111111-aaaa-bbbb-cccc-000000000001"
APP = "22222222-aaaa-bbbb-cccc-000000000002"
SECRET = "S3cr~et.of-the_application"
HOSTS = (
    "login.microsoftonline.com",
    "login.chinacloudapi.cn",
    "myvault.vault.azure.net",
    "login.microsoft.com",
)


class Certificate:
    """A self-signed certificate with its key, as files."""

    def __init__(self, folder: Path, name: str = "certificate") -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "spark-kusto tests")])
        now = datetime.datetime.now(datetime.timezone.utc)
        names = [x509.DNSName(host) for host in (*HOSTS, "localhost")]
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(
                x509.SubjectAlternativeName([*names, x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
                False,
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
            .sign(self.key, hashes.SHA256())
        )
        public = self.certificate.public_bytes(serialization.Encoding.PEM)
        self.certificate_file = folder / f"{name}.crt"
        self.certificate_file.write_bytes(public)
        self.key_file = folder / f"{name}.key"
        self.key_file.write_bytes(self._private(serialization.NoEncryption()))
        self.folder, self.name = folder, name

    def _private(self, encryption: serialization.KeySerializationEncryption) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        )

    def pem(self, password: str | None = None) -> Path:
        """Certificate and key in one PEM file."""
        encryption: serialization.KeySerializationEncryption = (
            serialization.BestAvailableEncryption(password.encode())
            if password
            else serialization.NoEncryption()
        )
        path = self.folder / f"{self.name}-{'sealed' if password else 'plain'}.pem"
        path.write_bytes(self._private(encryption) + self.certificate_file.read_bytes())
        return path

    def pfx(self, password: str) -> Path:
        """Certificate and key in one PKCS #12 file."""
        path = self.folder / f"{self.name}.pfx"
        encryption = serialization.BestAvailableEncryption(password.encode())
        path.write_bytes(
            pkcs12.serialize_key_and_certificates(b"x", self.key, self.certificate, None, encryption)
        )
        return path


def token(audience: str = "https://kusto.kusto.windows.net", lifetime: float = 3600, **claims: Any) -> str:
    """A token as Entra makes them; nobody checks its signature."""
    now = int(time.time())
    content = {
        "aud": audience,
        "iss": f"https://sts.windows.net/{TENANT}/",
        "iat": now - 10,
        "nbf": now - 10,
        "exp": int(now + lifetime),
        "oid": "33333333-aaaa-bbbb-cccc-000000000003",
        "tid": TENANT,
        **claims,
    }
    return jwt.encode(content, "x" * 32, algorithm="HS256")


class Entra:
    """Sign-in, Key Vault and managed identities. What was asked for is in ``asked``."""

    def __init__(self, certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[dict[str, str]] = []
        self.vault: dict[str, str] = {}
        self.certificate = certificate
        self.application_certificate: Certificate | None = None
        self.pending_polls = 1
        self.lifetime = 3600.0
        self._monkeypatch = monkeypatch
        self._servers: list[ThreadingHTTPServer] = []

    def __enter__(self) -> Entra:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self.certificate.certificate_file, self.certificate.key_file)
        self.port = self._serve(tls)
        self.plain_port = self._serve(None)
        original = socket.getaddrinfo

        def getaddrinfo(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
            if host in HOSTS:
                return original("127.0.0.1", self.port, *rest, **more)
            if host not in ("127.0.0.1", "localhost"):
                raise socket.gaierror(f"tests reach no other host: {host}")
            return original(host, port, *rest, **more)

        patch = self._monkeypatch
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        patch.setenv("REQUESTS_CA_BUNDLE", str(self.certificate.certificate_file))
        for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
            patch.delenv(name, raising=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def _serve(self, tls: ssl.SSLContext | None) -> int:
        entra = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                entra._get(self)

            def do_POST(self) -> None:
                entra._post(self)

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        self._servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return int(server.server_address[1])

    def _get(self, request: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        host = request.headers.get("Host", "")
        if host.startswith("myvault."):
            return self._vault(request, parts.path)
        if parts.path == "/common/discovery/instance":
            tenant_host = urlsplit(query["authorization_endpoint"]).netloc
            return answer(
                request,
                {
                    "tenant_discovery_endpoint": f"https://{tenant_host}/{TENANT}/v2.0/.well-known/openid-configuration",
                    "metadata": [],
                },
            )
        if parts.path.endswith("/.well-known/openid-configuration"):
            base = f"https://{host}/{parts.path.split('/')[1]}"
            return answer(
                request,
                {
                    "issuer": f"{base}/v2.0",
                    "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                    "token_endpoint": f"{base}/oauth2/v2.0/token",
                    "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
                },
            )
        if parts.path.endswith("/oauth2/v2.0/authorize"):
            self.asked.append({"path": parts.path, **query})
            back = urlencode(
                {"code": "authorization-code", "state": query["state"], "client_info": client_info()}
            )
            request.send_response(302)
            request.send_header("Location", f"{query['redirect_uri']}?{back}")
            request.send_header("Content-Length", "0")
            return request.end_headers()
        # A managed identity: the machine's endpoint (IMDS) or App Service's.
        self.asked.append({"path": parts.path, **query, "metadata": request.headers.get("Metadata", "")})
        given = token(query.get("resource", ""), self.lifetime)
        return answer(
            request,
            {
                "access_token": given,
                "expires_in": str(int(self.lifetime)),
                "expires_on": str(int(time.time() + self.lifetime)),
                "resource": query.get("resource", ""),
                "token_type": "Bearer",
            },
        )

    def _vault(self, request: BaseHTTPRequestHandler, path: str) -> None:
        authorization = request.headers.get("Authorization", "")
        if not authorization.startswith("Bearer ey"):
            request.send_response(401)
            challenge = f'Bearer authorization="https://login.microsoftonline.com/{TENANT}", resource="https://vault.azure.net"'
            request.send_header("WWW-Authenticate", challenge)
            request.send_header("Content-Length", "0")
            return request.end_headers()
        name = path.split("/")[2]
        self.asked.append({"path": path, "secret": name})
        if name not in self.vault:
            return answer(request, {"error": {"code": "SecretNotFound", "message": f"no {name}"}}, 404)
        return answer(
            request, {"value": self.vault[name], "id": f"https://myvault.vault.azure.net/secrets/{name}/1"}
        )

    def _post(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0)).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        self.asked.append({"path": request.path, "host": request.headers.get("Host", ""), **form})
        if request.path.endswith("/devicecode"):
            return answer(
                request,
                {
                    "device_code": "device-code",
                    "user_code": "ABCD-1234",
                    "verification_uri": "https://microsoft.com/devicelogin",
                    "expires_in": 60,
                    "interval": 1,
                    "message": "go there",
                },
            )
        problem = self._problem(form, f"https://{request.headers.get('Host', '')}{request.path}")
        if problem is not None:
            return answer(request, {"error": problem[0], "error_description": problem[1]}, 401)
        # The device's second request does not repeat what it asked for.
        scopes = form.get("scope") or next(a["scope"] for a in reversed(self.asked) if a.get("scope"))
        scope = scopes.split(" ")[0].removesuffix("/.default")
        given: dict[str, Any] = {
            "access_token": token(scope, self.lifetime),
            "expires_in": int(self.lifetime),
            "token_type": "Bearer",
            "scope": scopes,
        }
        if form["grant_type"] != "client_credentials":
            nonce = next((a["nonce"] for a in reversed(self.asked) if "nonce" in a), None)
            person = token(form["client_id"], preferred_username="u@example.com", nonce=nonce)
            given |= {"id_token": person, "client_info": client_info()}
        return answer(request, given)

    def _problem(self, form: dict[str, str], endpoint: str) -> tuple[str, str] | None:
        grant = form["grant_type"]
        if grant == "client_credentials" and "client_secret" in form:
            if form["client_secret"] != SECRET:
                return "invalid_client", "AADSTS7000215: Invalid client secret provided."
        elif grant == "client_credentials" and self.application_certificate is not None:
            key = self.application_certificate.key.public_key()
            try:
                jwt.decode(form["client_assertion"], key, algorithms=["PS256", "RS256"], audience=endpoint)
            except jwt.InvalidTokenError as error:
                return "invalid_client", f"AADSTS700027: {error}"
        elif "device" in grant and self.pending_polls > 0:
            self.pending_polls -= 1
            return "authorization_pending", "AADSTS70016: pending"
        return None


def client_info() -> str:
    return base64.urlsafe_b64encode(json.dumps({"uid": "u", "utid": TENANT}).encode()).decode().rstrip("=")


def answer(request: BaseHTTPRequestHandler, content: Any, status: int = 200) -> None:
    body = json.dumps(content).encode()
    request.send_response(status)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)
