# Sourced by the other scripts: a virtual environment unless one is active, and this project in it with the extra named in $1.
# A stamp in the environment names what was installed; while this folder and its pyproject.toml are the same, nothing is done.
python=${PYTHON:-python3}
if [ -z "${VIRTUAL_ENV:-}" ]; then
    [ -d .venv ] || "$python" -m venv .venv
    # shellcheck disable=SC1091
    source .venv/bin/activate
fi
stamp="$VIRTUAL_ENV/stylenet_$1.installed"
wanted="$(pwd -P) $(python -c 'import hashlib; print(hashlib.sha256(open("pyproject.toml", "rb").read()).hexdigest())')"
# The install itself names its folder too: another copy of the project may have taken its place since.
installed=$(python -c 'import importlib.metadata as m; print(m.distribution("stylenet").read_text("direct_url.json"))' 2>/dev/null || true)
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || [[ "$installed" != *"file://$(pwd -P)\""* ]]; then
    echo "installing into $VIRTUAL_ENV (torch is several GB the first time)"
    python -m pip install --quiet --disable-pip-version-check -e ".[$1]"
    echo "$wanted" > "$stamp"
fi
