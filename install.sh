#!/usr/bin/env bash
# Installs omni-connector for the current user. No root, no questions, no shell file edited.
#
#   ./install.sh --start         from a checkout: install, then start the server
#   ./install.sh --test          from a checkout: run every test in a private environment
#   curl -fsSL ADDRESS/install.sh | bash
#   ./install.sh --help          everything else
#
# Only functions stand before the last lines, so a download that breaks off does nothing at all.
# Written for bash 3.2 (macOS) and later; whatever a shell cannot do safely is in helper(), in Python.

[ -n "${BASH_VERSION:-}" ] || { echo "install.sh needs bash: run it as 'bash install.sh', or pipe it into 'bash'." >&2; exit 1; }

# The archive a piped install.sh and `omni-connector update` fetch (https://…/omni-connector.tar.gz). Whoever publishes this file writes
# the address between :- and the first brace. Its checksum is expected beside it, in a file of its name with .sha256 behind it.
ARCHIVE_URL="${OMNI_ARCHIVE_URL:-${ARCHIVE_URL:-}}"

KEEP_RELEASES=3
PYTHON_NAMES="python3.14 python3.13 python3.12 python3.11 python3 python"
RELEASE_PARTS="app.py omni_connector migrations static docs pyproject.toml requirements.lock requirements-test.lock install.sh README.md LICENSE CHANGELOG.md"
LAUNCHER_MARK="# omni-connector launcher, written by install.sh"

usage() {
  cat <<'TEXT'
Usage: install.sh [options]

  (no option)       install or upgrade omni-connector for the current user
  --start           install, then start the server and print the dashboard's address
  --test [-- ARGS]  in a checkout: private environment, linters, type check, the whole test suite (ARGS go to pytest)
  --from SOURCE     install from a checkout directory, a .tar.gz/.tgz/.zip archive, or a URL of one
  --sha256 HEX      the archive's checksum; required for a URL that is not the default one
  --prepare         build the release beside the present one and switch nothing (what `omni-connector update` begins with)
  --no-path         write nothing into ~/.local/bin; start with OMNI_HOME/current/bin/omni-connector instead
  --dry-run         print every step, change nothing
  --uninstall       remove the program and its launchers; accounts, keys and records stay
  --purge           with --uninstall: remove OMNI_HOME and everything in it (asks on a terminal; else set OMNI_PURGE=yes)
  --help            this text

Environment
  OMNI_HOME         where everything lives (default ~/.omni-connector)
  OMNI_PYTHON       the Python to use (default: the newest of 3.14, 3.13, 3.12, 3.11 that is found)
  OMNI_TEST_VENV    the environment of --test (default .venv-test in the checkout)
  OMNI_ARCHIVE_URL  the default archive (ARCHIVE_URL too), when the script is piped and no --from is given

No shell file is ever edited: when ~/.local/bin is not on PATH, the line to add is printed.
TEXT
}

# ---------------------------------------------------------------------------------------------- talking

STEP=0
TOTAL=8

say() { printf '%s\n' "$*"; }
step() { STEP=$((STEP + 1)); printf '[%d/%d] %s\n' "$STEP" "$TOTAL" "$*"; }
note() { printf '      %s\n' "$*"; }
die() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }
usage_error() { printf 'install.sh: %s (see --help)\n' "$*" >&2; exit 2; }

# ---------------------------------------------------------------------------------------------- options

parse_options() {
  MODE=install START="" PREPARE="" DRY_RUN="" NO_PATH="" PURGE="" FROM="" SHA256="" TEST_ARGS=()
  while [ $# -gt 0 ]; do
    case "$1" in
      --start) START=1 ;;
      --test) MODE="test" ;;
      --dry-run) DRY_RUN=1 ;;
      --prepare) PREPARE=1 ;;
      --no-path) NO_PATH=1 ;;
      --uninstall) MODE=uninstall ;;
      --purge) PURGE=1 ;;
      --from) [ $# -ge 2 ] && [ -n "$2" ] || usage_error "--from needs a directory, an archive or a URL"; FROM=$2; shift ;;
      --from=?*) FROM=${1#--from=} ;;
      --sha256) [ $# -ge 2 ] || usage_error "--sha256 needs a checksum"; SHA256=$2; shift ;;
      --sha256=*) SHA256=${1#--sha256=} ;;
      --help | -h) MODE=help ;;
      --) shift; TEST_ARGS=(${1+"$@"}); break ;;
      *) usage_error "unknown option: $1" ;;
    esac
    shift
  done
  check_options
}

check_options() {
  [ "$MODE" != help ] || return 0
  [ "$MODE" = test ] || [ ${#TEST_ARGS[@]} -eq 0 ] || usage_error "arguments after -- belong to --test"
  [ "$MODE" = install ] || [ -z "$START" ] || usage_error "--start cannot be combined with --$MODE"
  [ "$MODE" = install ] || [ -z "$FROM" ] || usage_error "--from cannot be combined with --$MODE"
  [ "$MODE" = install ] || [ -z "$PREPARE" ] || usage_error "--prepare cannot be combined with --$MODE"
  [ -z "$START" ] || [ -z "$PREPARE" ] || usage_error "--prepare cannot be combined with --start"
  [ "$MODE" = uninstall ] || [ -z "$PURGE" ] || usage_error "--purge belongs to --uninstall"
  if [ -n "$SHA256" ]; then
    [ "$MODE" = install ] || usage_error "--sha256 belongs to an installation"
    SHA256=$(printf '%s' "$SHA256" | tr 'A-F' 'a-f')
    case "$SHA256" in *[!0-9a-f]*) usage_error "--sha256 takes 64 hexadecimal digits" ;; esac
    [ ${#SHA256} -eq 64 ] || usage_error "--sha256 takes 64 hexadecimal digits"
    [ ! -d "${FROM:-$CHECKOUT}" ] || usage_error "--sha256 belongs to an archive, and ${FROM:-$CHECKOUT} is a directory"
  fi
  case "$FROM" in
    *://*) [ -n "$SHA256" ] || [ "$FROM" = "$ARCHIVE_URL" ] || usage_error "--from a URL needs --sha256 HEX" ;;
  esac
}

# ---------------------------------------------------------------------------------------------- Python

find_python() {
  local name found why=""
  for name in ${OMNI_PYTHON:+"$OMNI_PYTHON"} $([ -n "${OMNI_PYTHON:-}" ] || printf '%s' "$PYTHON_NAMES"); do
    command -v "$name" >/dev/null 2>&1 || continue
    if found=$("$name" -I -c "$PYTHON_PROBE" 2>/dev/null); then
      PYTHON=${found#* } PYTHON_VERSION=${found%% *}
      return
    fi
    [ -z "$found" ] || why="$why
  $name: $found"
  done
  [ -z "${OMNI_PYTHON:-}" ] || die "OMNI_PYTHON=$OMNI_PYTHON is not usable: Python 3.11 or newer is needed.$why"
  die "Python 3.11 or newer is needed and was not found.$why
  Debian, Ubuntu: apt-get install python3 python3-venv     Fedora: dnf install python3.13     macOS: brew install python
  or name one: OMNI_PYTHON=/path/to/python3.12 ./install.sh"
}

# Prints "VERSION PATH" and ends with 0, or a reason and ends with 1. `-I` keeps the user's PYTHONPATH and site out of it.
PYTHON_PROBE='
import sys, sysconfig
if sys.version_info < (3, 11): sys.exit(print("is Python %d.%d" % sys.version_info[:2]) or 1)
if sysconfig.get_config_var("Py_GIL_DISABLED"): sys.exit(print("is a free-threaded build") or 1)
try: import ssl, sqlite3, venv, zlib
except ImportError as error: sys.exit(print("lacks", error.name) or 1)
print("%d.%d.%d" % sys.version_info[:3], sys.executable)'

# What a shell cannot do safely on both systems. One sub-command per task; arguments are plain strings, failures are one line.
helper() {
  "$PYTHON" -I - "$@" <<'PYTHON'
import fcntl, hashlib, json, os, pathlib, re, shutil, ssl, stat, sys, tarfile, time, urllib.request, zipfile

SKIPPED = {"__pycache__", "_root"}


def main(command, *args):
    try:
        return COMMANDS[command](*args)
    except (OSError, ValueError, tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        sys.exit(f"install.sh: {error}")


def version(tree):
    """The version of a source tree, or a failure that says what is missing there."""
    root = pathlib.Path(tree)
    for part in ("app.py", "omni_connector/__init__.py", "migrations", "pyproject.toml", "requirements.lock"):
        if not (root / part).exists():
            raise ValueError(f"{tree} is not an omni-connector source tree: {part} is missing")
    found = re.search(r'^__version__ = "([0-9A-Za-z.+-]+)"', (root / "omni_connector/__init__.py").read_text(), re.M)
    if not found:
        raise ValueError(f"{tree}/omni_connector/__init__.py names no version")
    print(found[1])


def files(tree, parts):
    for part in parts:
        top = pathlib.Path(tree, part)
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            rest = path.relative_to(tree)
            hidden = any(name.startswith(".") or name in SKIPPED for name in rest.parts)
            if path.is_file() and not hidden and path.suffix != ".pyc":
                yield path, rest


def digest(tree, salt, *parts):
    """One hash of everything a release consists of; `salt` is the Python it is built for."""
    total = hashlib.sha256(salt.encode())
    for path, rest in files(tree, parts):
        total.update(f"{rest.as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    print(total.hexdigest())


def copy(tree, target, *parts):
    for path, rest in files(tree, parts):
        goal = pathlib.Path(target, rest)
        goal.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, goal)
        goal.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)


def download(url, target):
    with urllib.request.urlopen(url, timeout=60) as answer, open(target, "wb") as file:
        shutil.copyfileobj(answer, file)


def published(source):
    """The checksum that stands beside an archive (its name with .sha256 behind it), or nothing."""
    try:
        if "://" in source:
            with urllib.request.urlopen(source + ".sha256", timeout=30) as answer:
                text = answer.read(4096).decode("ascii", "replace")
        else:
            text = pathlib.Path(source + ".sha256").read_text("ascii", "replace")
    except (OSError, ValueError):
        return
    word = text.split()[0].lower() if text.split() else ""
    if re.fullmatch(r"[0-9a-f]{64}", word):
        print(word)


def sha256(path):
    with open(path, "rb") as file:
        print(hashlib.file_digest(file, "sha256").hexdigest())


def unpack(archive, target):
    """Plain files and folders only, and only below `target`; then the folder that holds the tree is printed."""
    root = pathlib.Path(target).resolve()
    root.mkdir(parents=True)
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            for entry in file.infolist():
                if not entry.is_dir():
                    write(root, entry.filename, file.open(entry), entry.external_attr >> 16)
    else:
        with tarfile.open(archive, "r:*") as file:
            for entry in file:
                if any(part.startswith(".") and part != "." for part in entry.name.split("/")):
                    continue  # never part of a release; `..` ends here too
                if entry.isfile():
                    write(root, entry.name, file.extractfile(entry), entry.mode)
                elif not entry.isdir() and not entry.issym():
                    raise ValueError(f"{archive} holds something that is no file: {entry.name}")
    inner = [path for path in root.iterdir() if not path.name.startswith(".")]
    print(inner[0] if len(inner) == 1 and inner[0].is_dir() else root)


def write(root, name, source, mode):
    goal = (root / name).resolve()
    if not goal.is_relative_to(root):
        raise ValueError(f"the archive reaches outside itself: {name}")
    goal.parent.mkdir(parents=True, exist_ok=True)
    with source, open(goal, "wb") as file:
        shutil.copyfileobj(source, file)
    goal.chmod(0o755 if mode & 0o100 else 0o644)


def lock(fd, seconds):
    """Locks the caller's open file: the kernel lets go of it when the caller ends, however it ends."""
    until = time.monotonic() + float(seconds)
    while True:
        try:
            return fcntl.flock(int(fd), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise ValueError("another install.sh is at work on this OMNI_HOME; try again when it is done") from None
            time.sleep(0.2)


def built(releases, wanted):
    """The name of a finished release with that digest, or nothing: what an update that was broken off had built already."""
    for note in pathlib.Path(releases).glob("*/.omni-release"):
        if f"digest={wanted}" in note.read_text().splitlines():
            return print(note.parent.name)


def publish(stage, final):
    """The finished release gets its name; everything in it is on disk first."""
    os.sync()
    os.rename(stage, final)


def switch(link, target):
    """Points `link` at `target` in one step: whoever looks sees the old release or the new one."""
    fresh = f"{link}.new"
    pathlib.Path(fresh).unlink(missing_ok=True)
    os.symlink(target, fresh)
    os.replace(fresh, link)
    folder = os.open(os.path.dirname(link), os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def prune(releases, keep, *kept):
    """Removes all but the newest releases; those that `current` and `previous` name stay in any case."""
    safe = {os.path.realpath(path) for path in kept}
    ours = [path for path in pathlib.Path(releases).iterdir() if (path / ".omni-release").is_file()]
    ours.sort(key=lambda path: (path / ".omni-release").stat().st_mtime, reverse=True)
    for path in ours[int(keep):]:
        if os.path.realpath(path) not in safe:
            shutil.rmtree(path)
            print(path.name)


def server(home):
    """The address to show for the running server of this OMNI_HOME, or nothing."""
    try:
        told = json.loads(pathlib.Path(home, "server.json").read_text())
        os.kill(int(told["pid"]), 0)
    except (OSError, ValueError, KeyError):
        return None
    # A health question to our own listener: no proxy between, and its certificate may be self-signed.
    plain = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=ssl._create_unverified_context())
    )
    try:
        with plain.open(told["url"].rstrip("/") + "/health", timeout=2) as answer:
            return told.get("base_url", told["url"]) if answer.status == 200 else None
    except OSError:
        return None


def running(home):
    url = server(home)
    if url is None:
        sys.exit(1)
    print(url)


def await_server(home, pid, seconds):
    """Waits for the first healthy answer; gives up at once when the process `pid` is gone."""
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until:
        if url := server(home):
            return print(url)
        try:
            os.kill(int(pid), 0)
        except OSError:
            sys.exit(2)
        time.sleep(0.1)
    sys.exit(1)


def await_stop(home, seconds):
    until = time.monotonic() + float(seconds)
    while server(home):
        if time.monotonic() > until:
            sys.exit(1)
        time.sleep(0.2)


COMMANDS = {
    "version": version, "digest": digest, "copy": copy, "download": download, "published": published, "sha256": sha256,
    "unpack": unpack, "lock": lock, "built": built, "publish": publish, "switch": switch, "prune": prune, "running": running, "await-server": await_server, "await-stop": await_stop,
}
main(*sys.argv[1:])
PYTHON
}

# ---------------------------------------------------------------------------------------------- shared steps

CHILD="" STAGE="" LOG="" TOUCHED=""

# Runs on every exit: an interrupted installation leaves nothing behind but its log.
clean_up() {
  local code=$?
  trap - EXIT INT TERM HUP
  if [ -n "$CHILD" ]; then
    kill "$CHILD" 2>/dev/null || true
    wait "$CHILD" 2>/dev/null || true
  fi
  [ -z "$STAGE" ] || rm -rf "$STAGE"
  if [ "$code" -ne 0 ] && [ -n "$TOUCHED" ]; then
    say "Nothing was switched: what was installed before still works." >&2
  fi
  exit "$code"
}

set_traps() {
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap 'exit 129' HUP
}

set_paths() {
  [ -n "${HOME:-}" ] || die "HOME is not set."
  # Run from inside a release ("bash …/current/install.sh --uninstall"), the script belongs to that release's home.
  if [ -z "${OMNI_HOME:-}" ] && [ -f "$CHECKOUT/.omni-release" ]; then OMNI_HOME=$(dirname "$(dirname "$CHECKOUT")"); fi
  OMNI_HOME=${OMNI_HOME:-"$HOME/.omni-connector"}
  case "$OMNI_HOME" in /*) ;; *) OMNI_HOME="$PWD/$OMNI_HOME" ;; esac
  OMNI_HOME=${OMNI_HOME%/}
  RELEASES="$OMNI_HOME/releases"
  CURRENT="$OMNI_HOME/current"
  PREVIOUS="$OMNI_HOME/previous"
  BIN="$HOME/.local/bin"
  LAUNCH="$CURRENT/bin/omni-connector"
}

# The folder of this script when it is a source tree; empty when the script is piped or stands alone.
set_checkout() {
  CHECKOUT=""
  local script=${BASH_SOURCE[0]:-}
  [ -n "$script" ] && [ -f "$script" ] || return 0
  local folder
  folder=$(cd "$(dirname "$script")" && pwd -P)
  if [ -f "$folder/omni_connector/__init__.py" ] && [ -f "$folder/pyproject.toml" ]; then CHECKOUT=$folder; fi
}

# The user's own pip and Python settings must not lead packages elsewhere; index settings stay as they are.
calm_environment() {
  unset PYTHONHOME PYTHONPATH PIP_TARGET PIP_PREFIX PIP_ROOT PIP_CONSTRAINT PIP_REQUIREMENT PIP_NO_DEPS VIRTUAL_ENV
  export PIP_USER=0 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1
}

take_lock() {
  exec 9>"$1"
  helper lock 9 0 2>/dev/null && return
  note "another install.sh is at work; waiting for it"
  helper lock 9 600
}

# Runs a command with its output in $LOG; on a terminal a line counts packages meanwhile. The log's end is shown on failure.
logged() {
  local code=0 total=$1
  shift
  "$@" >>"$LOG" 2>&1 </dev/null &
  CHILD=$!
  if [ -t 1 ] && [ "$total" -gt 0 ]; then
    while kill -0 "$CHILD" 2>/dev/null; do
      printf '\r      %s fetched, of at most %s' "$(grep -c '^Collecting ' "$LOG" || true)" "$total"
      sleep 1
    done
    printf '\r\033[K'
  fi
  wait "$CHILD" || code=$?
  CHILD=""
  [ "$code" -eq 0 ] && return
  say "--- the last lines of $LOG" >&2
  tail -n 25 "$LOG" >&2
  say "---" >&2
  return "$code"
}

# A private environment, and VENV_PIP, the pip that fills it. The Python's own pip does so from outside, which is quickest and leaves no
# pip behind. Where it has none, ensurepip puts one inside; Debian's Python may lack both, and then uv does.
make_venv() {
  local venv=$1
  if "$PYTHON" -I -m pip --python "$PYTHON" --version >/dev/null 2>&1; then
    logged 0 "$PYTHON" -I -m venv --without-pip "$venv" && VENV_PIP=("$PYTHON" -I -m pip --python "$venv/bin/python") && return
    rm -rf "$venv"
  fi
  if "$PYTHON" -I -c 'import ensurepip' 2>/dev/null; then
    logged 0 "$PYTHON" -I -m venv "$venv" && VENV_PIP=("$venv/bin/python" -I -m pip) && return
    rm -rf "$venv"
  fi
  if command -v uv >/dev/null 2>&1; then
    logged 0 uv venv --quiet --seed --python "$PYTHON" "$venv" && VENV_PIP=("$venv/bin/python" -I -m pip) && return
    rm -rf "$venv"
  fi
  die "$PYTHON can make no private environment: it has neither ensurepip nor pip, and uv is not there.
  Debian, Ubuntu: apt-get install python${PYTHON_VERSION%.*}-venv     elsewhere: install pip for this Python, or uv"
}

install_packages() {
  local lock=$1
  logged "$(grep -c '==' "$lock")" "${VENV_PIP[@]}" install --require-hashes --only-binary :all: --no-warn-script-location -r "$lock" && return
  die "The packages could not be installed; the whole log is $LOG.
  Behind a mirror or proxy: pip's own settings apply (PIP_INDEX_URL, HTTPS_PROXY, PIP_CERT)."
}

# ---------------------------------------------------------------------------------------------- install

install_mode() {
  [ -z "$START" ] || TOTAL=9
  [ -z "$PREPARE" ] || TOTAL=6
  step "Python"
  find_python
  note "$PYTHON_VERSION at $PYTHON"
  prepare_home
  obtain_source
  if [ -z "$DRY_RUN" ] && is_current; then
    note "installed already and unchanged: $(cd "$CURRENT" && pwd -P)"
    STEP=7 TOUCHED=""  # the steps of building and switching are left out
    [ -z "$PREPARE" ] || { say "prepared: $(basename "$(cd "$CURRENT" && pwd -P)")"; return; }
    finish_update
  elif [ -n "$PREPARE" ]; then
    prepare_release
    return
  else
    build_release
    check_release
    switch_release
  fi
  write_launchers
  [ -z "$START" ] || start_server
  [ -n "$DRY_RUN" ] && { say "Dry run: nothing was changed."; return; }
  summary
}

prepare_home() {
  [ -n "$DRY_RUN" ] && return
  mkdir -p "$RELEASES" "$OMNI_HOME/logs"
  chmod 700 "$OMNI_HOME"
  take_lock "$OMNI_HOME/.install.lock"
  LOG="$OMNI_HOME/logs/install.log"
  : >"$LOG"
  rm -rf "$RELEASES"/.new-*  # what a killed installer left
  STAGE="$RELEASES/.new-$$"
  mkdir "$STAGE"
  TOUCHED=1
}

# Sets SOURCE (a tree) and VERSION.
obtain_source() {
  local from=${FROM:-${CHECKOUT:-$ARCHIVE_URL}}
  step "Source: ${from:-the default archive}"
  SOURCE=$from VERSION="<version>"
  [ -n "$from" ] || { missing_archive; return; }
  if [ -d "$from" ]; then
    SOURCE=$(cd "$from" && pwd -P)
  elif [ -n "$DRY_RUN" ]; then
    case "$from" in *://*) note "download it${SHA256:+, compare its sha256}, unpack it" ;; *) [ -f "$from" ] || die "$from does not exist." ; note "unpack it" ;; esac
    return
  else
    fetch_archive "$from"
  fi
  VERSION=$(helper version "$SOURCE")
  # shellcheck disable=SC2086  # a list of names without spaces
  DIGEST=$(helper digest "$SOURCE" "$PYTHON_VERSION $PYTHON" $RELEASE_PARTS)
  note "version $VERSION"
}

missing_archive() {
  local text="this copy of install.sh stands outside a checkout and names no archive: use --from DIR|ARCHIVE|URL, or set ARCHIVE_URL"
  [ -n "$DRY_RUN" ] || die "$text."
  note "the installation would stop here: $text"
}

fetch_archive() {
  local from=$1 file=$1 sum
  case "$from" in
    *://*)
      file="$STAGE/archive"
      say "Downloading $from" >>"$LOG"
      if command -v curl >/dev/null 2>&1; then
        logged 0 curl -fL --retry 2 --connect-timeout 20 -o "$file" "$from" || die "$from could not be downloaded."
      else
        logged 0 helper download "$from" "$file" || die "$from could not be downloaded."
      fi
      ;;
  esac
  [ -f "$file" ] || die "$file does not exist."
  [ -n "$SHA256" ] || SHA256=$(helper published "$from")
  if [ -n "$SHA256" ]; then
    sum=$(helper sha256 "$file")
    [ "$sum" = "$SHA256" ] || die "the archive is not the expected one: its sha256 is $sum. Nothing of it was unpacked."
    note "sha256 matches"
  fi
  SOURCE=$(helper unpack "$file" "$STAGE/unpacked")
}

# True when `current` was made from the same files by the same Python, and still starts.
is_current() {
  [ -f "$CURRENT/.omni-release" ] || return 1
  [ "$(sed -n 's/^digest=//p' "$CURRENT/.omni-release")" = "$DIGEST" ] || return 1
  "$LAUNCH" --version >/dev/null 2>&1
}

build_release() {
  RELEASE="$STAGE/release"
  step "Release tree"
  [ -n "$DRY_RUN" ] && note "copy the program to $RELEASES/$VERSION"
  # shellcheck disable=SC2086
  [ -n "$DRY_RUN" ] || helper copy "$SOURCE" "$RELEASE" $RELEASE_PARTS
  step "Private environment"
  if [ -n "$DRY_RUN" ]; then note "make $RELEASES/$VERSION/.venv with $PYTHON"; else make_venv "$RELEASE/.venv"; fi
  step "Packages: fixed versions, each checked against its hash, wheels only"
  if [ -n "$DRY_RUN" ]; then note "pip install --require-hashes --only-binary :all: -r requirements.lock"; return; fi
  install_packages "$RELEASE/requirements.lock"
  note "$("$RELEASE/.venv/bin/python" -I -c 'import importlib.metadata as m; print(len(list(m.distributions())), "packages")')"
  link_release
  write_release_note
}

# The environment finds the program through a relative path, so the finished folder can be renamed and moved.
link_release() {
  local site
  site=$("$RELEASE/.venv/bin/python" -I -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  printf '../../../..\n' >"$site/omni_connector_release.pth"
  mkdir -p "$RELEASE/bin"
  cat >"$RELEASE/bin/omni-connector" <<'LAUNCHER'
#!/bin/sh
# Starts the release this file belongs to, by its real path: a running server never mixes files of two releases.
here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P) || exit 1
: "${OMNI_HOME:=$(dirname -- "$(dirname -- "$here")")}"
export OMNI_HOME
exec "$here/.venv/bin/python" -I -m omni_connector "$@"
LAUNCHER
  chmod 755 "$RELEASE/bin/omni-connector"
  logged 0 "$RELEASE/.venv/bin/python" -I -m compileall -q "$RELEASE/omni_connector" "$RELEASE/migrations" "$RELEASE/app.py" || true
}

write_release_note() {
  printf 'version=%s\ndigest=%s\npython=%s %s\ninstalled=%s\n' \
    "$VERSION" "$DIGEST" "$PYTHON_VERSION" "$PYTHON" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" >"$RELEASE/.omni-release"
}

# Runs the new release on an empty home of its own, with none of the user's settings: the real data is not touched.
check_release() {
  step "Self-check"
  [ -n "$DRY_RUN" ] && { note "start the new release once on an empty home"; return; }
  local clean=(env -i "PATH=$PATH" "HOME=$STAGE" "OMNI_HOME=$STAGE/home" "LANG=${LANG:-C.UTF-8}" "LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-}")
  logged 0 "${clean[@]}" "$RELEASE/bin/omni-connector" --version || die "The new release does not start."
  logged 0 "${clean[@]}" "$RELEASE/bin/omni-connector" --init-only || die "The new release cannot make its database."
  note "it starts, and makes its database"
}

# For `omni-connector update`, which reads the last line. One that was built before and not switched to is taken as it is.
prepare_release() {
  local name=""
  [ -n "$DRY_RUN" ] || name=$(helper built "$RELEASES" "$DIGEST")
  if [ -n "$name" ] && "$RELEASES/$name/bin/omni-connector" --version >/dev/null 2>&1; then
    STEP=6 TOUCHED=""
    note "built already"
  else
    build_release
    check_release
    [ -n "$DRY_RUN" ] && { say "Dry run: nothing was changed."; return; }
    publish_release
    name=$NAME
  fi
  say "prepared: $name"
}

# Sets NAME.
publish_release() {
  NAME=$VERSION
  [ ! -e "$RELEASES/$NAME" ] || NAME="$VERSION-$(printf '%.8s' "$DIGEST")"
  [ ! -e "$RELEASES/$NAME" ] || NAME="$NAME-$(date -u +%Y%m%d%H%M%S)"
  helper publish "$RELEASE" "$RELEASES/$NAME"
  TOUCHED=""
}

# Where there is data, the release itself changes to itself: tried on a copy first, the running server handed over, and back when it fails.
switch_with_data() {
  publish_release
  note "this is an update: the release is tried on a copy of your data first"
  OMNI_HOME="$OMNI_HOME" "$RELEASES/$NAME/bin/omni-connector" update --activate "$NAME" 9>&- || die "The update was not made."
}

# One that was killed after its switch: the server may still be the release before.
finish_update() {
  [ -f "$OMNI_HOME/update.json" ] || return 0
  OMNI_HOME="$OMNI_HOME" "$LAUNCH" update --activate "$(basename "$(cd "$CURRENT" && pwd -P)")" 9>&- || die "The update was not finished."
}

switch_release() {
  step "Switch"
  [ -n "$DRY_RUN" ] && { note "point $CURRENT at the new release; keep the newest $KEEP_RELEASES releases"; return; }
  if [ -f "$OMNI_HOME/master.key" ] && [ -f "$CURRENT/.omni-release" ]; then switch_with_data; return; fi
  local name before="" gone
  publish_release
  name=$NAME
  [ ! -L "$CURRENT" ] || before=$(readlink "$CURRENT")
  [ -z "$before" ] || helper switch "$PREVIOUS" "$before"
  helper switch "$CURRENT" "releases/$name"
  TOUCHED="" SWITCHED=1
  gone=$(helper prune "$RELEASES" "$KEEP_RELEASES" "$CURRENT" "$PREVIOUS")
  note "$CURRENT -> releases/$name"
  [ -z "$gone" ] || note "removed old releases: $(printf '%s' "$gone" | tr '\n' ' ')"
}

# ---------------------------------------------------------------------------------------------- launchers

write_launchers() {
  step "Launchers"
  if [ -n "$NO_PATH" ]; then note "none outside $OMNI_HOME (--no-path)"; return; fi
  write_launcher omni-connector
  local other
  other=$(command -v pn 2>/dev/null || true)
  if [ -z "$other" ] || [ "$other" = "$BIN/pn" ]; then
    write_launcher pn
  else
    note "no short name pn: $other is there already"
  fi
}

is_ours() { [ -f "$1" ] && grep -qF "$LAUNCHER_MARK" "$1" 2>/dev/null; }

write_launcher() {
  local file="$BIN/$1"
  if { [ -e "$file" ] || [ -L "$file" ]; } && ! is_ours "$file"; then
    note "left alone, because something else owns it: $file"
    return
  fi
  [ -n "$DRY_RUN" ] && { note "write $file"; return; }
  mkdir -p "$BIN"
  cat >"$file.new$$" <<LAUNCHER
#!/bin/sh
$LAUNCHER_MARK; install.sh --uninstall removes it.
home=$(quoted "$OMNI_HOME")
: "\${OMNI_HOME:=\$home}"
export OMNI_HOME
exec "\$home/current/bin/omni-connector" "\$@"
LAUNCHER
  chmod 755 "$file.new$$"
  mv -f "$file.new$$" "$file"
  note "$file"
}

# The text as one word of sh.
quoted() { printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"; }

# ---------------------------------------------------------------------------------------------- start

start_server() {
  step "Server"
  [ -n "$DRY_RUN" ] && { note "start it in the background, log to $OMNI_HOME/logs/server.log, wait for its /health"; return; }
  local code=0
  if URL=$(helper running "$OMNI_HOME"); then
    [ -n "${SWITCHED:-}" ] || { note "already running at $URL"; return; }
    note "restarting the one at $URL, so that it runs the new release"
    if ! "$LAUNCH" stop >>"$LOG" 2>&1 || ! helper await-stop "$OMNI_HOME" 60; then
      die "The running server did not stop. The new release is in place: stop the server, then start it with $LAUNCH"
    fi
  fi
  # 9>&-: the server must not hold the installer's lock.
  OMNI_HOME="$OMNI_HOME" nohup "$LAUNCH" serve >>"$OMNI_HOME/logs/server.log" 2>&1 </dev/null 9>&- &
  URL=$(helper await-server "$OMNI_HOME" $! 20) || code=$?
  [ "$code" -eq 0 ] && { note "running at $URL"; return; }
  tail -n 15 "$OMNI_HOME/logs/server.log" >&2
  [ "$code" -eq 2 ] && die "The server ended at once (its last words are above; $OMNI_HOME/logs/server.log)."
  die "The server did not answer within 20 seconds (its last words are above; $OMNI_HOME/logs/server.log)."
}

summary() {
  local run=omni-connector
  case ":$PATH:" in *":$BIN:"*) ;; *) run="$BIN/omni-connector" ;; esac
  if [ -n "$NO_PATH" ] || ! is_ours "$BIN/omni-connector"; then run=$LAUNCH; fi
  say ""
  say "omni-connector $VERSION is installed in $OMNI_HOME"
  if [ -n "$START" ]; then
    say "  Dashboard   $URL"
    say "  1. Connect an account: a provider's API key, a model server of your own, or the built-in demo."
    say "  2. Create a key. It begins with omni- and is shown once."
    say "  3. Give any OpenAI or Anthropic client that key, the address $URL/v1 and the model \"auto\"."
    say "  Log         $OMNI_HOME/logs/server.log"
    say "  Stop        $run stop"
  else
    say "  Start       $run"
    if [ -n "${SWITCHED:-}" ] && helper running "$OMNI_HOME" >/dev/null; then
      say "  A server of the release before is still running; restart it with: $run stop && $run"
    fi
  fi
  say "  Undo        bash $(quoted "$CURRENT/install.sh") --uninstall    (keeps your data; --uninstall --purge removes it too)"
  [ "$run" != "$BIN/omni-connector" ] || path_hint
  if [ "$run" = omni-connector ] && [ "$(command -v omni-connector || true)" != "$BIN/omni-connector" ]; then
    say "  Note: another omni-connector comes first on PATH: $(command -v omni-connector || true)"
  fi
}

# shellcheck disable=SC2088  # shown, not used
path_hint() {
  local file line="export PATH=\"\$HOME/.local/bin:\$PATH\""
  case "${SHELL:-}" in
    */zsh) file="~/.zshrc" ;;
    */fish) file="~/.config/fish/config.fish" line="fish_add_path ~/.local/bin" ;;
    *) file="~/.bashrc" ;;
  esac
  say "  $BIN is not on your PATH. To type just omni-connector, add this line to $file:"
  say "      $line"
}

# ---------------------------------------------------------------------------------------------- uninstall

uninstall_mode() {
  TOTAL=3
  [ -z "$PURGE" ] || { TOTAL=4; confirm_purge; }
  if [ -z "$DRY_RUN" ] && [ -d "$OMNI_HOME" ] && (find_python) >/dev/null 2>&1; then
    find_python
    take_lock "$OMNI_HOME/.install.lock"
  fi
  step "Server"
  stop_for_uninstall
  step "Launchers"
  local name
  for name in omni-connector pn; do
    if is_ours "$BIN/$name" && grep -qF "home=$(quoted "$OMNI_HOME")" "$BIN/$name"; then remove "$BIN/$name"; fi
  done
  step "Program"
  remove "$CURRENT" "$PREVIOUS" "$RELEASES"
  [ -n "$DRY_RUN" ] || rm -f "$OMNI_HOME/.install.lock"
  if [ -n "$PURGE" ]; then
    step "Data"
    remove "$OMNI_HOME"
  elif [ -d "$OMNI_HOME" ]; then
    note "your accounts, keys and records stay in $OMNI_HOME"
  fi
  [ -z "$DRY_RUN" ] || say "Dry run: nothing was changed."
}

remove() {
  local path
  for path in "$@"; do
    [ -e "$path" ] || [ -L "$path" ] || continue
    note "remove $path"
    [ -n "$DRY_RUN" ] || rm -rf "$path"
  done
}

stop_for_uninstall() {
  [ -f "$OMNI_HOME/server.json" ] && [ -x "$LAUNCH" ] || { note "not running"; return 0; }
  note "stop it, if it runs"
  [ -n "$DRY_RUN" ] || OMNI_HOME="$OMNI_HOME" "$LAUNCH" stop >/dev/null 2>&1 || true
}

confirm_purge() {
  case "$HOME/" in "$OMNI_HOME"/*) die "OMNI_HOME=$OMNI_HOME holds your home directory; it will not be removed." ;; esac
  [ -d "$OMNI_HOME" ] && [ -z "$DRY_RUN" ] || return 0
  [ -f "$OMNI_HOME/master.key" ] || [ -f "$OMNI_HOME/logs/install.log" ] || [ -d "$RELEASES" ] ||
    die "$OMNI_HOME does not look like an OMNI_HOME; it will not be removed."
  [ "${OMNI_PURGE:-}" = yes ] && return
  [ -t 0 ] || die "--purge removes accounts, keys and records for good: run it on a terminal, or set OMNI_PURGE=yes."
  local answer
  printf 'This removes %s with all accounts, keys and records, for good.\nType "purge" to go on: ' "$OMNI_HOME"
  read -r answer
  [ "$answer" = purge ] || die "Nothing was removed."
}

# ---------------------------------------------------------------------------------------------- test

test_mode() {
  [ -n "$CHECKOUT" ] && [ -d "$CHECKOUT/tests" ] || die "--test works in a checkout; there are no tests beside this script."
  TOTAL=4
  cd "$CHECKOUT"
  local venv=${OMNI_TEST_VENV:-"$CHECKOUT/.venv-test"}
  case "$venv" in /*) ;; *) venv="$CHECKOUT/$venv" ;; esac
  step "Python"
  find_python
  note "$PYTHON_VERSION at $PYTHON"
  step "Test environment: $venv"
  make_test_venv "$venv"
  step "Browser for the dashboard's tests"
  provide_chromium
  step "Checks"
  if [ -n "$DRY_RUN" ]; then
    note "ruff check; ruff format --check; mypy; pytest ${TEST_ARGS[*]+"${TEST_ARGS[*]}"}"
    say "Dry run: nothing was changed."
    return
  fi
  run_checks "$venv/bin/python"
}

# Re-used as long as the lock file and the Python are the same; the mark is written last, so a half-made one is made anew.
make_test_venv() {
  local venv=$1 key
  key="$(helper sha256 requirements-test.lock) $PYTHON_VERSION $PYTHON"
  if [ "$(cat "$venv/.omni-lock" 2>/dev/null)" = "$key" ]; then note "up to date"; return; fi
  [ -n "$DRY_RUN" ] && { note "make it anew from requirements-test.lock"; return; }
  if [ -e "$venv" ] && [ ! -f "$venv/pyvenv.cfg" ]; then die "$venv exists and is no environment of Python; name another with OMNI_TEST_VENV."; fi
  mkdir -p "$(dirname "$venv")"
  take_lock "$venv.lock"
  if [ "$(cat "$venv/.omni-lock" 2>/dev/null)" = "$key" ]; then note "up to date"; return; fi
  LOG="$venv.log"
  : >"$LOG"
  rm -rf "$venv"
  make_venv "$venv"
  install_packages requirements-test.lock
  printf '%s\n' "$key" >"$venv/.omni-lock"
  note "made from requirements-test.lock"
}

provide_chromium() {
  local name
  for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null 2>&1; then note "$(command -v "$name")"; return; fi
  done
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    note "no chromium here: the browser tests will be skipped"
    return
  fi
  [ -n "$DRY_RUN" ] && { note "apt-get install chromium"; return; }
  LOG=$(mktemp "${TMPDIR:-/tmp}/omni-connector-apt.XXXXXX")
  if apt_chromium; then note "installed with apt-get"; else note "chromium could not be installed (see $LOG): the browser tests will be skipped"; fi
}

apt_chromium() {
  export DEBIAN_FRONTEND=noninteractive
  logged 0 apt-get update && logged 0 apt-get install -y --no-install-recommends chromium
}

# All four run even when one fails, so that one run shows everything; the exit code counts them all.
run_checks() {
  local python=$1 failed=""
  exec 9>&-
  "$python" -I -m ruff check . || failed="$failed ruff-check"
  "$python" -I -m ruff format --check . || failed="$failed ruff-format"
  "$python" -m mypy || failed="$failed mypy"
  run_tests "$python" || failed="$failed pytest($?)"
  [ -z "$failed" ] || die "failed:$failed"
  say "All checks passed."
}

# Two sides run beside each other. Tests in a browser and against servers wait a lot, the others compute; whichever side is done first goes on
# with the folders that belong to neither, so both end at about the same time. Ports that providers demand are only used by the second side.
run_tests() {
  local python=$1 log claims aside code=0
  if [ ${#TEST_ARGS[@]} -gt 0 ]; then "$python" -m pytest "${TEST_ARGS[@]}"; return; fi
  local serving=(tests/dashboard tests/live/test_[a-s]*.py) shared=(tests/store tests/wire tests/admin tests/openapi)
  unset PYTHONDONTWRITEBYTECODE  # the tests start the program a hundred times
  log=$(mktemp "${TMPDIR:-/tmp}/omni-connector-tests.XXXXXX")
  claims=$(mktemp -d "${TMPDIR:-/tmp}/omni-connector-tests.XXXXXX")
  test_side tests "${serving[@]/#/--ignore=}" "${shared[@]/#/--ignore=}" >"$log" 2>&1 &
  aside=$!
  trap 'kill "$aside" 2>/dev/null || true; rm -rf "$log" "$claims"; exit 130' INT TERM HUP
  test_side "${serving[@]}" || code=$?
  say "The rest of the suite, which ran at the same time:"
  wait "$aside" || code=$?
  set_traps
  cat "$log"
  rm -rf "$log" "$claims"
  return "$code"
}

# One side, in a shell of its own: its tests, then one by one the shared folders that the other side has not begun. Uses run_tests' variables.
test_side() (
  local code=0 child="" folder
  trap - EXIT
  trap 'wait; exit 130' INT  # the keyboard told the tests as well
  trap '[ -z "$child" ] || kill "$child" 2>/dev/null || true; wait; exit 143' TERM HUP
  run() {
    # What a shell starts aside ignores Ctrl+C, and so would every program that a test interrupts.
    "$python" -c 'import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *sys.argv[1:]])' "$@" &
    child=$!
    wait "$child" || code=$?
  }
  run "$@"
  for folder in "${shared[@]}"; do
    mkdir "$claims/${folder##*/}" 2>/dev/null || continue  # only one of two can make it
    run "$folder"
  done
  exit "$code"
)

# ---------------------------------------------------------------------------------------------- main

main() {
  set -euo pipefail
  set_checkout
  parse_options "$@"
  [ "$MODE" != help ] || { usage; return 0; }
  case "$(uname -s)" in Linux | Darwin) ;; *) die "Linux and macOS only; on Windows: pip install, see docs/installing.md." ;; esac
  set_paths
  calm_environment
  set_traps
  "${MODE}_mode"
}

# One compound command: it runs only when its end has arrived.
{
  main "$@"
  exit $?
}
