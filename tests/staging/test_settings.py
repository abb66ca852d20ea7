"""Every way in which containers are named."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_kusto.errors import OptionError, StagingError, UnsupportedError
from spark_kusto.staging import StorageContainer, parse_container
from spark_kusto.staging.containers import AccountKeyAccess, EntraAccess, SasAccess, parse_address
from spark_kusto.staging.settings import (
    containers_from_connection_string,
    containers_from_options,
    parse_ingestion_storage,
    parse_transient_storage,
)

KEY = "c2VjcmV0a2V5c2VjcmV0a2V5c2VjcmV0a2V5c2VjcmV0a2V5c2VjcmV0a2V5c2VjcmV0a2V5"
SAS = "sv=2024-11-04&se=2030-01-01T00%3A00%3A00Z&sr=c&sp=rwdl&sig=c2lnbmF0dXJl%3D"


class Credential:
    """Stands for an Entra credential; never asked for a token here."""

    def get_token(self, *scopes: str, **arguments: Any) -> Any:
        raise AssertionError("not to be asked")


def key_of(container: StorageContainer) -> str:
    assert isinstance(container.access, AccountKeyAccess)
    return container.access.key


def sas_of(container: StorageContainer) -> str:
    assert isinstance(container.access, SasAccess)
    return container.access.token


AZURE = "https://acct.blob.core.windows.net"
ONELAKE = "https://onelake.blob.fabric.microsoft.com"


@pytest.mark.parametrize(
    ("url", "endpoint", "account", "container", "directory"),
    [
        (f"{AZURE}/cont", AZURE, "acct", "cont", ""),
        (f"{AZURE}/cont/a/b/", AZURE, "acct", "cont", "a/b"),
        (f"{AZURE}/cont/a%20b", AZURE, "acct", "cont", "a b"),
        ("https://acct.dfs.core.windows.net/cont/d", AZURE, "acct", "cont", "d"),
        ("abfss://cont@acct.dfs.core.windows.net/p/q", AZURE, "acct", "cont", "p/q"),
        ("wasbs://cont@acct.blob.core.windows.net/p", AZURE, "acct", "cont", "p"),
        ("https://acct.z12.blob.storage.azure.net/cont", "=", "acct", "cont", ""),
        ("https://acct.blob.core.chinacloudapi.cn/cont", "=", "acct", "cont", ""),
        ("https://acct-secondary.blob.core.windows.net/cont", "=", "acct", "cont", ""),
        ("https://acct.blob.corp.example:8443/cont/d", "=", "acct", "cont", "d"),
        ("https://acct.blob.localhost:10000/cont", "=", "acct", "cont", ""),
        ("http://127.0.0.1:10000/devstoreaccount1/cont", "=", "devstoreaccount1", "cont", ""),
        ("http://[::1]:10000/dev/cont/x", "=", "dev", "cont", "x"),
        ("http://localhost:7777/dev/cont", "=", "dev", "cont", ""),
        ("http://azurite:10000/dev/cont", "=", "dev", "cont", ""),
        ("http://host.docker.internal:10000/dev/cont", "=", "dev", "cont", ""),
        (
            f"{ONELAKE.replace('blob', 'dfs')}/My Space/l.Lakehouse/x",
            ONELAKE,
            "onelake",
            "My Space",
            "l.Lakehouse/x",
        ),
    ],
)
def test_addresses(url: str, endpoint: str, account: str, container: str, directory: str) -> None:
    if endpoint == "=":
        endpoint = url[: url.index(f"/{container}")]
    address = parse_address(url)
    assert (address.endpoint, address.account, address.container, address.directory) == (
        endpoint,
        account,
        container,
        directory,
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("s3://bucket/x", "not a scheme of blob storage"),
        ("https://acct.blob.core.windows.net", "names no container"),
        ("http://127.0.0.1:10000/", "begins with the account's name"),
        ("https:///cont", "names no host"),
        ("https://acct.blob.core.windows.net:x/cont", "port is not a number"),
        ("https://acct.blob.core.windows.net/cont/../other", "'.' or '..'"),
        ("https://acct.blob.core.windows.net/UPPER", "is not a container name"),
        ("https://user@acct.blob.core.windows.net/cont", "carries a user name"),
        ("abfss://acct.dfs.core.windows.net/x", "<container>@<account host>"),
        (f"https://acct.blob.core.windows.net/cont?{SAS[:-30]}", "no SAS"),
        ("https://acct.blob.core.windows.net/cont;not a key", "not base64"),
        ("https://acct.blob.core.windows.net/cont;token=ey.x.y", "cannot be renewed"),
        ("https://acct.blob.core.windows.net/cont", "how to get into container"),
        ("https://acct.blob.core.windows.net/cont;impersonate", "how to get into container"),
        ("acct.blob.core.windows.net/cont", "does not begin with https://"),
        ("https://acct.table.core.windows.net/cont", "endpoint for table storage"),
        ("https://acct.queue.core.windows.net/cont", "endpoint for queue storage"),
        (f"https://onelake.dfs.fabric.microsoft.com/ws/item/Files;{KEY}", "OneLake has no account keys"),
        (f"{AZURE}/cont?{SAS};impersonate", "carries a SAS and says whom to impersonate"),
        (f"{AZURE}/cont?{SAS.replace('sr=c', 'ss=qt&srt=sco')}", "other services of the account"),
        (f"{AZURE}/cont?{SAS.replace('sr=c', 'ss=b&srt=s')}", "not for both containers and objects"),
        (f"{AZURE}/cont/blob?{SAS.replace('sr=c', 'sr=b')}", "for a single blob"),
        (f"{AZURE}/cont?{SAS.replace('sp=rwdl&', '')}", "nothing of permissions"),
    ],
)
def test_what_is_no_address_says_why(text: str, words: str) -> None:
    with pytest.raises((OptionError, StagingError), match=words) as caught:
        parse_container(text)
    assert "not a key" not in str(caught.value)
    assert KEY not in str(caught.value)
    assert "c2lnbmF0" not in str(caught.value)


@pytest.mark.parametrize(
    "extra", ["{}", "?{}", "&{}", "{}#fragment", "comp=list&restype=container&{}", "{} "]
)
def test_a_sas_is_taken_out_of_what_portals_and_browsers_show(extra: str) -> None:
    assert sas_of(parse_container(f" {AZURE}/cont?{extra.format(SAS)}")) == SAS
    policy = "sv=2024-11-04&si=policy&sr=c&sig=x%3D"
    assert sas_of(parse_container(f"{AZURE}/cont?{policy}")) == policy


def test_secrets_in_addresses() -> None:
    assert sas_of(parse_container(f"https://a.blob.core.windows.net/cont/dir?{SAS}")) == SAS
    assert key_of(parse_container(f"https://a.blob.core.windows.net/cont;{KEY}")) == KEY
    assert key_of(parse_container(f"abfss://cont@a.dfs.core.windows.net/x;sharedkey={KEY}")) == KEY
    assert sas_of(parse_container(f"https://a.blob.core.windows.net/?{SAS}", container="cont")) == SAS
    assert sas_of(parse_container("https://a.blob.core.windows.net/cont", credential=f"?{SAS}")) == SAS
    own = parse_container("https://a.blob.core.windows.net/cont;impersonate", credential=Credential())
    assert own.impersonate
    assert isinstance(own.access, EntraAccess)
    managed = parse_container("https://a.blob.core.windows.net/cont;managed_identity=system", credential=KEY)
    assert managed.managed_identity == "system"
    with pytest.raises(OptionError, match="another one was given"):
        parse_container(f"https://a.blob.core.windows.net/cont?{SAS}", credential=KEY)


def test_as_kusto_writes_them() -> None:
    url = "https://a.blob.core.windows.net/cont"
    for text in (f"{url}/d?{SAS}", f"{url}/d;{KEY}"):
        assert parse_container(text).kusto_connection_string() == text
    own = parse_container(f"{url}/d;impersonate", credential=Credential())
    assert own.kusto_connection_string("x/y") == f"{url}/d/x/y;impersonate"
    managed = parse_container(f"{url};managed_identity=system", credential=Credential())
    assert managed.kusto_connection_string() == f"{url};managed_identity=system"


def test_reprs_and_pickles_hold_no_secret() -> None:
    for secret, kind in ((f"?{SAS}", "SAS"), (f";{KEY}", "account key")):
        container = parse_container(f"{AZURE}/cont{secret}")
        assert repr(container) == f"StorageContainer({AZURE}/cont, {kind})"
        assert KEY not in repr(container.access)
        assert "c2ln" not in repr(container.access)
    for access in (AccountKeyAccess("a", KEY), EntraAccess(Credential())):
        with pytest.raises(StagingError, match="stays on the driver"):
            pickle.dumps(access)


# -- transientStorage -----------------------------------------------------------------------------


def transient(*credentials: dict[str, Any], **top: Any) -> tuple[StorageContainer, ...]:
    return parse_transient_storage(json.dumps({"storageCredentials": list(credentials), **top}))


def test_the_official_transient_storage() -> None:
    (found,) = transient(
        {"storageAccountName": "acct", "blobContainer": "cont", "storageAccountKey": KEY},
        endpointSuffix="core.usgovcloudapi.net",
    )
    assert found.address.url == "https://acct.blob.core.usgovcloudapi.net/cont"
    assert key_of(found) == KEY
    (found,) = transient(
        {"storageaccountname": "acct", "BLOBCONTAINER": "cont", "sasKey": f"?{SAS}", "sasUrl": ""}
    )
    assert found.address.url == "https://acct.blob.core.windows.net/cont"
    assert sas_of(found) == SAS
    (found,) = transient(
        {"storageAccountName": "acct", "blobContainer": "cont", "sasKey": SAS, "domainSuffix": "z1.example"}
    )
    assert found.address.url == "https://acct.blob.z1.example/cont"


def test_the_sas_url_is_enough() -> None:
    both = transient(
        {"sasUrl": f"https://acct.blob.core.windows.net/cont/dir?{SAS}"},
        {"sasUrl": f"https://acct.blob.core.windows.net/?{SAS}", "blobContainer": "other", "sasKey": SAS},
        {"sasUrl": "http://127.0.0.1:10000/devstoreaccount1/cont", "sasKey": SAS},
    )
    assert [str(found.address) for found in both] == [
        "https://acct.blob.core.windows.net/cont/dir",
        "https://acct.blob.core.windows.net/other",
        "http://127.0.0.1:10000/devstoreaccount1/cont",
    ]
    assert {sas_of(found) for found in both} == {SAS}


def test_what_the_official_class_prints_is_read_too() -> None:
    text = json.dumps(
        {
            "storageCredentials": [
                {
                    "storageAccountName": "acct",
                    "blobContainer": "cont",
                    "storageAccountKey": None,
                    "sasKey": f"?{SAS}",
                    "sasUrl": f"https://acct.blob.core.windows.net/cont?{SAS}",
                    "domainSuffix": "core.windows.net",
                    "authMethod": "Sas",
                }
            ],
            "endpointSuffix": None,
        }
    )
    (found,) = parse_transient_storage(text)
    assert sas_of(found) == SAS


def test_impersonation_and_onelake_take_the_jobs_credential() -> None:
    credential = Credential()
    for entry in (
        {"sasUrl": "https://acct.blob.core.windows.net/cont;impersonate"},
        {"storageAccountName": "acct", "blobContainer": "cont", "sasKey": ";impersonate"},
        {"oneLakeUrl": "https://onelake.dfs.fabric.microsoft.com/ws/lake.Lakehouse/Files/staging"},
        {"oneLakeUrl": "abfss://ws@onelake.dfs.fabric.microsoft.com/lake.Lakehouse/Files/staging"},
    ):
        text = json.dumps({"storageCredentials": [entry]})
        (found,) = parse_transient_storage(text, credential=credential)
        assert isinstance(found.access, EntraAccess)
        assert found.access.credential is credential
        assert found.impersonate
        with pytest.raises(OptionError, match="how to get into"):
            parse_transient_storage(text)


def test_plain_urls_and_lists_of_them() -> None:
    url = f"https://acct.blob.core.windows.net/cont?{SAS}"
    for text in (url, f" {url}\n", json.dumps(url), json.dumps([url]), json.dumps([{"sasUrl": url}])):
        (found,) = parse_transient_storage(text)
        assert sas_of(found) == SAS


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("{}", "names no storage"),
        ('{"storageCredentials":[]}', "names no storage"),
        ('{"storageCredentials":[7]}', "holds a int"),
        ('{"storageCredentials":[{"blobContainer":"cont"}]}', "lacks 'storageAccountName'"),
        ('{"storageCredentials":[{"storageAccountName":"a"}]}', "lacks 'blobContainer'"),
        ('{"storageCredentials":[{"storageAccountNam":"a"}]}', "Did you mean 'storageAccountName'"),
        ('{"storageCredential":[]}', "Did you mean 'storageCredentials'"),
        ('{"storageCredentials":[{"storageAccountName":"a","blobContainer":5}]}', "is not text"),
        (
            json.dumps({"storageCredentials": [{"sasKey": SAS, "storageAccountKey": KEY}]}),
            "has both 'sasKey'",
        ),
        (json.dumps({"storageCredentials": [{"oneLakeUrl": "x", "sasKey": SAS}]}), "mixes 'oneLakeUrl'"),
    ],
)
def test_malformed_transient_storage_says_where(text: str, words: str) -> None:
    with pytest.raises(OptionError, match=words) as caught:
        parse_transient_storage(text)
    assert KEY not in str(caught.value)
    assert "c2ln" not in str(caught.value)


NAMES = st.sampled_from(["storageCredentials", "sasUrl", "sasKey", "blobContainer", "endpointSuffix"])
JSON = st.recursive(
    st.none() | st.text() | st.integers(),
    lambda inner: st.lists(inner) | st.dictionaries(NAMES | st.text(), inner),
)


@given(st.text(max_size=60) | JSON.map(json.dumps))
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_transient_storage, parse_ingestion_storage):
        try:
            assert parse(text)
        except (OptionError, UnsupportedError):
            pass


# -- the other options ----------------------------------------------------------------------------


def test_the_official_ingestion_storage() -> None:
    credential = Credential()
    entries = [
        {"storageUrl": "https://acct.blob.core.windows.net", "containerName": "cont", "sas": f"?{SAS}"},
        {
            "storageUrl": "https://acct.blob.core.windows.net/",
            "containerName": "cont",
            "userMsi": "",
            "sas": "",
        },
    ]
    first, second = parse_ingestion_storage(json.dumps(entries), credential=credential)
    assert sas_of(first) == SAS
    assert isinstance(second.access, EntraAccess)
    assert second.access.credential is credential
    (managed,) = parse_ingestion_storage(
        json.dumps([{**entries[0], "sas": None, "userMsi": "11111111-2222-3333-4444-555555555555"}])
    )
    assert isinstance(managed.access, EntraAccess)
    assert type(managed.access.credential).__name__ == "ManagedIdentityCredential"
    (default,) = parse_ingestion_storage(json.dumps(entries[1]))
    assert isinstance(default.access, EntraAccess)
    assert type(default.access.credential).__name__ == "DefaultAzureCredential"
    for entry, words in (
        ({"containerName": "cont"}, "lacks 'storageUrl'"),
        ({"storageUrl": "https://a.blob.core.windows.net"}, "lacks 'containerName'"),
        ({**entries[0], "userMsi": "x"}, "both 'sas' and 'userMsi'"),
    ):
        with pytest.raises(OptionError, match=words):
            parse_ingestion_storage(json.dumps([entry]))
    with pytest.raises(OptionError, match="names no storage"):
        parse_ingestion_storage("[]")


def test_options_of_older_releases() -> None:
    (found,) = containers_from_options(
        {"blobstorageaccountname": "acct", "BLOBSTORAGEACCOUNTKEY": KEY, "blobContainer": "cont"}
    )
    assert found.address.url == "https://acct.blob.core.windows.net/cont"
    assert key_of(found) == KEY
    (found,) = containers_from_options(
        {"blobStorageSasUrl": f"https://acct.blob.core.windows.net/cont?{SAS}"}
    )
    assert sas_of(found) == SAS
    (found,) = containers_from_options(
        {
            "blobStorageAccountName": "acct",
            "blobContainer": "cont",
            "blobStorageEndpointSuffix": "core.chinacloudapi.cn",
        },
        credential=Credential(),
    )
    assert found.address.url == "https://acct.blob.core.chinacloudapi.cn/cont"
    assert containers_from_options({"kustoTable": "T", "transientStorage": " "}) == ()
    (found,) = containers_from_options(
        {
            "blobStorageAccountName": "acct",
            "blobContainer": "cont",
            "blobStorageSasKey": f"?{SAS}",
            "blobStorageDomainPostfix": "core.usgovcloudapi.net",
        }
    )
    assert sas_of(found) == SAS
    assert found.address.url == "https://acct.blob.core.usgovcloudapi.net/cont"


def test_two_storages_at_once_are_refused_by_name() -> None:
    url = f"https://acct.blob.core.windows.net/cont?{SAS}"
    with pytest.raises(OptionError, match="'transientStorage' and option 'blobStorageSasUrl'"):
        containers_from_options({"transientStorage": url, "blobStorageSasUrl": url})
    with pytest.raises(OptionError, match="'blobStorageSasUrl' and option 'blobStorageAccountName'"):
        containers_from_options({"blobStorageSasUrl": url, "blobStorageAccountName": "acct"})
    with pytest.raises(OptionError, match="lack 'blobContainer'"):
        containers_from_options({"blobStorageAccountName": "acct"})
    # A job that reads and writes may carry both; each direction has its own.
    other = f"https://acct.blob.core.windows.net/other?{SAS}"
    both = {"transientStorage": url, "kustoIngestionStorageContainer": other}
    assert containers_from_options(both)[0].address.container == "cont"
    assert containers_from_options(both, ingestion=True)[0].address.container == "other"
    assert containers_from_options({"kustoIngestionStorageContainer": other}) == ()


def test_connection_strings() -> None:
    text = f"DefaultEndpointsProtocol=https;AccountName=acct;AccountKey={KEY};EndpointSuffix=core.windows.net"
    found = containers_from_connection_string(text, "cont")
    assert found.address.url == "https://acct.blob.core.windows.net/cont"
    assert key_of(found) == KEY
    found = containers_from_connection_string("UseDevelopmentStorage=true", "cont")
    assert found.address.url == "http://127.0.0.1:10000/devstoreaccount1/cont"
    found = containers_from_connection_string(
        f"BlobEndpoint=https://storage.corp.example/;AccountName=acct;AccountKey={KEY}", "cont"
    )
    assert (found.address.url, found.address.account) == ("https://storage.corp.example/cont", "acct")
    for broken, words in (
        ("AccountName", "has no '='"),
        (f"AccountKey={KEY}", "neither 'AccountName'"),
        ("AccountName=acct", "neither 'AccountKey'"),
    ):
        with pytest.raises(OptionError, match=words) as caught:
            containers_from_connection_string(broken, "cont")
        assert KEY not in str(caught.value)
    with pytest.raises(OptionError, match="blobContainer"):
        containers_from_connection_string(text, None)


# -- imports --------------------------------------------------------------------------------------


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_room_imports_no_azure_until_it_is_used() -> None:
    code = (
        "import sys, spark_kusto.staging as s\n"
        "[getattr(s, name) for name in s.__all__]\n"
        "s.parse_container('https://a.blob.core.windows.net/cont?sv=1&sp=r&sig=x')\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('azure', 'pyarrow', 'duckdb', 'requests')])"
    )
    assert run(code).strip() == "[]"


def test_without_the_extra_one_error_names_it() -> None:
    code = (
        "import sys\n"
        "sys.modules['azure'] = None\n"
        "import spark_kusto.staging as s\n"
        "c = s.parse_container('https://a.blob.core.windows.net/cont?sv=1&sp=r&sig=x')\n"
        "try:\n"
        "    s.TransientStorage([c]).begin('db', 'read')\n"
        "except Exception as e:\n"
        "    print(type(e).__name__, e)"
    )
    assert "UnsupportedError" in run(code)
    assert "pip install 'spark-kusto[azure]'" in run(code)
