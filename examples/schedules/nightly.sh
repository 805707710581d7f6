#!/bin/sh
# Notebooks by plain papermill, one after the other, then their report into the bucket.
#   nightly.sh ENV [NOTEBOOK...]        00_preflight unless named
# For cron and systemd: asks nothing, never runs twice at a time for an environment, and ends with
# 0 (fine), 1 (a finding, or a gate without approval) or 2 (an error, or nothing published).
set -u
env=${1:?usage: nightly.sh ENV [NOTEBOOK...]}
shift
[ $# -gt 0 ] || set -- 00_preflight
cd "$(dirname "$0")/../.." || exit 2
bin=$PWD/.venv/bin

mkdir -p "runs/$env" || exit 2
exec 9>"runs/$env/.nightly.lock"
if ! flock -n 9; then
    echo "nightly.sh: an earlier run on $env has not ended; this one is left out" >&2
    exit 2
fi

id=$(date -u +%Y%m%dT%H%M%SZ)-$(printf '%04x' $(($$ % 65536)))
run=$PWD/runs/$env/$id
code=0
for notebook in "$@"; do
    mkdir -p "$run/$notebook"
    if ! "$bin/papermill" --no-progress-bar "notebooks/$notebook.ipynb" \
        "$run/$notebook/notebook.ipynb" -p env "$env" -p run_dir "$run" </dev/null 9>&-; then
        # papermill ends with 1 whatever happened; the run knows whether it was a finding.
        code=$(sed -n 's/^ *"exit_code": \([0-9]\).*/\1/p' "$run/run.json" 2>/dev/null)
        [ "${code:-0}" -gt 0 ] || code=2
        break
    fi
done

# A link would be a key in a log: whoever wants to read asks for one, with runbook report link.
"$bin/runbook" report publish "$id" --env "$env" >/dev/null || code=2
exit "$code"
