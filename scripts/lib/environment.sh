# Shared by the scripts: says what happens, finds Python and Java, makes virtual environments from the pinned
# requirements. Written for bash 3.2, which is what macOS has. To be sourced from the repository's folder.
#
# What can be set from outside:
#   PYTHON      the interpreter to build environments with (default: the newest of 3.11-3.13 found, then 3.10)
#   JAVA_HOME   the Java to use (17 or later)

say() { printf '\033[2m==>\033[0m %s\n' "$*" >&2; }

fail() {
    printf '\033[31merror:\033[0m %s\n' "$*" >&2
    exit 1
}

[ -t 2 ] || {
    say() { printf '==> %s\n' "$*" >&2; }
    fail() {
        printf 'error: %s\n' "$*" >&2
        exit 1
    }
}

# --- system packages -------------------------------------------------------------------------------------------------

# apt_install PACKAGE…: as root, or with sudo (asking for a password only where somebody can type one).
apt_install() {
    command -v apt-get >/dev/null || return 1
    local as_root=""
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || return 1
        as_root="sudo"
        [ -t 0 ] || as_root="sudo -n"
    fi
    say "Installing $* with apt"
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null 2>&1 && return 0
    # The package lists of a fresh machine are empty or old.
    $as_root apt-get update -qq </dev/null >/dev/null 2>&1 || return 1
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >&2
}

# --- Python ----------------------------------------------------------------------------------------------------------

python_is() { # python_is COMMAND MINIMUM_MINOR
    "$1" -c "import sys; sys.exit(not (3, $2) <= sys.version_info[:2] < (3, 14))" 2>/dev/null
}

# find_python: prints the interpreter to build environments with.
find_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        python_is "$PYTHON" 10 || fail "PYTHON=$PYTHON is not Python 3.10 to 3.13."
        command -v "$PYTHON"
        return
    fi
    for candidate in python3 python3.13 python3.12 python3.11; do
        python_is "$candidate" 11 && command -v "$candidate" && return
    done
    for candidate in python3 python3.10; do
        python_is "$candidate" 10 && command -v "$candidate" && return
    done
    if command -v uv >/dev/null; then
        candidate=$(uv python find '>=3.11,<3.14' 2>/dev/null) && echo "$candidate" && return
    fi
    fail "No Python 3.10 to 3.13 was found. Install one (Debian/Ubuntu: apt install python3 python3-venv; macOS: brew install python@3.13), or set PYTHON."
}

fingerprint() { cat "$@" | cksum | tr -d ' \t'; }

# create_environment FOLDER [PYTHON]: a virtual environment, made again if it is broken or of another Python.
create_environment() {
    local folder=$1 python=${2:-}
    if [ -x "$folder/bin/python" ] && "$folder/bin/python" -c '' 2>/dev/null; then
        # An environment that stands is kept, unless another Python is asked for.
        [ -n "${PYTHON:-}" ] || return 0
        [ "$("$folder/bin/python" -c 'import sys; print(sys.version_info[:2])')" = \
            "$("$PYTHON" -c 'import sys; print(sys.version_info[:2])')" ] && return 0
    fi
    [ -n "$python" ] || python=$(find_python)
    say "Making a virtual environment in $folder ($("$python" --version 2>&1))"
    rm -rf "$folder"
    mkdir -p "$(dirname "$folder")"
    if command -v uv >/dev/null && uv venv --quiet --seed --python "$python" "$folder" 2>/dev/null; then
        return 0
    fi
    if ! "$python" -m venv "$folder" >/dev/null 2>&1; then
        # Debian packs venv's other half apart.
        rm -rf "$folder"
        apt_install "python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv" || apt_install python3-venv || true
        "$python" -m venv "$folder" ||
            fail "$python can't make virtual environments. Install its venv module (Debian/Ubuntu: apt install python3-venv)."
    fi
}

# install_into FOLDER ARGUMENTS…: pip install, by uv when there is one.
install_into() {
    local folder=$1
    shift
    if command -v uv >/dev/null && uv pip install --quiet --python "$folder/bin/python" "$@"; then
        return 0
    fi
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}

# install_pinned FOLDER NAME: installs requirements/NAME.txt, unless these very pins are installed already.
install_pinned() {
    local folder=$1 name=$2 stamp
    stamp="$folder/.pinned-$name"
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(fingerprint "requirements/$name.txt")" ] && return 0
    say "Installing the packages of requirements/$name.txt into $folder"
    install_into "$folder" --require-hashes -r "requirements/$name.txt" ||
        fail "The packages of requirements/$name.txt could not be installed. Is a Python package index within reach?"
    fingerprint "requirements/$name.txt" >"$stamp"
}

# install_project FOLDER: this repository's packages and command, editable.
install_project() {
    local folder=$1 stamp
    stamp="$folder/.project"
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(fingerprint pyproject.toml)" ] && return 0
    say "Installing spark-kusto itself, editable"
    install_into "$folder" --no-build-isolation --no-deps --editable . || fail "spark-kusto could not be installed into $folder."
    fingerprint pyproject.toml >"$stamp"
}

# environment NAME [FOLDER]: everything of requirements/NAME.txt and this project, and PYTHON_BIN to run it with.
environment() {
    local folder=${2:-.venv}
    create_environment "$folder"
    install_pinned "$folder" "$1"
    install_project "$folder"
    use_environment "$folder"
}

use_environment() {
    PYTHON_BIN="$(cd "$1" && pwd)/bin/python"
    # Spark starts its workers with the python3 of PATH unless told otherwise.
    export PYSPARK_PYTHON=$PYTHON_BIN PYSPARK_DRIVER_PYTHON=$PYTHON_BIN
}

# --- Java ------------------------------------------------------------------------------------------------------------

java_major() { # prints the major version of a java command; nothing if it doesn't run (macOS has a java that only complains)
    "$1" -version 2>&1 | sed -n 's/^.* version "\([0-9]*\).*$/\1/p' | head -n 1
}

java_home_of() { # java_home_of COMMAND: the home behind a java command
    "$1" -XshowSettings:properties -version 2>&1 | sed -n 's/^ *java\.home = //p' | head -n 1
}

# find_java: prints the home of a Java that Spark runs on. 17 to 23 run every PySpark from 4.0; newer ones only the later.
find_java() {
    local home major newer=""
    for home in "${JAVA_HOME:-}" "$(command -v java >/dev/null && java_home_of java)" \
        /usr/lib/jvm/*17* /usr/lib/jvm/*21* /usr/lib/jvm/* \
        /opt/homebrew/opt/openjdk@17 /opt/homebrew/opt/openjdk@21 /opt/homebrew/opt/openjdk \
        /usr/local/opt/openjdk@17 /usr/local/opt/openjdk@21 /usr/local/opt/openjdk \
        "$(/usr/libexec/java_home -v 17 2>/dev/null)" "$(/usr/libexec/java_home -v 21 2>/dev/null)"; do
        [ -n "$home" ] && [ -x "$home/bin/java" ] || continue
        major=$(java_major "$home/bin/java")
        [ -n "$major" ] || continue
        if [ "$major" -ge 17 ] && [ "$major" -le 23 ]; then
            echo "$home"
            return
        fi
        [ "$major" -gt 23 ] && [ -z "$newer" ] && newer=$home
    done
    [ -n "$newer" ] && echo "$newer"
}

# need_java: JAVA_HOME for Spark; installs Java where that can be done without asking.
need_java() {
    local home package
    home=$(find_java || true)
    if [ -z "$home" ]; then
        say "Spark needs Java 17 or later and none was found"
        if command -v apt-get >/dev/null; then
            for package in openjdk-17-jre-headless openjdk-21-jre-headless default-jre-headless; do
                apt_install "$package" && break
            done || true
        elif command -v brew >/dev/null; then
            say "Installing openjdk@17 with brew"
            brew install --quiet openjdk@17 </dev/null >&2 || true
        fi
        home=$(find_java || true)
    fi
    [ -n "$home" ] ||
        fail "Spark needs Java 17 or later. Install it (Debian/Ubuntu: sudo apt install openjdk-17-jre-headless; macOS: brew install openjdk@17; else https://adoptium.net) and run this again, or set JAVA_HOME."
    export JAVA_HOME=$home
    export PATH="$JAVA_HOME/bin:$PATH"
}
