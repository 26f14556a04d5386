# Sourced by the other scripts: a virtual environment unless one is active, and this project in it with the extra named in $1.
python=${PYTHON:-python3}
if [ -z "${VIRTUAL_ENV:-}" ]; then
    [ -d .venv ] || "$python" -m venv .venv
    # shellcheck disable=SC1091
    source .venv/bin/activate
fi
echo "installing into $VIRTUAL_ENV (torch is several GB the first time)"
python -m pip install --quiet --disable-pip-version-check -e ".[$1]"
