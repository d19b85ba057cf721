#!/bin/sh
# Everything that a first start needs, then the server. A second start finds it all done and goes straight there.
#
# INSTALL_APERTIUM=0 leaves Apertium out, FETCH_MODELS=0 the models.

. scripts/lib.sh

sh scripts/bootstrap.sh run || exit

# What failed once (no rights, no network) is not tried again at every start: `make apertium`, `make models` do that.
if [ "${INSTALL_APERTIUM:-1}" != 0 ] && [ ! -e "$VENV/.no-apertium" ]; then
    sh scripts/system-packages.sh apertium || {
        say "Going on without Apertium: fewer languages can be translated into."
        touch "$VENV/.no-apertium"
    }
fi
if [ "${FETCH_MODELS:-1}" != 0 ] && [ -z "$(find "$VENV/.no-models" -mmin -60 2>/dev/null)" ]; then
    if "$VENV/bin/python" -m media_server.models fetch; then
        rm -f "$VENV/.no-models"
    else
        say "Going on without these models. To try again:  make models"
        touch "$VENV/.no-models"
    fi
fi
exec "$VENV/bin/python" -m media_server "$@"
