#!/usr/bin/env bash
# Removes everything this project put into an org. The data in its objects goes with them.
# Usage: uninstall/uninstall.sh ORG_ALIAS
set -euo pipefail

if [[ $# -ne 1 ]]; then
    echo "usage: $0 ORG_ALIAS" >&2
    exit 2
fi
org="$1"
here="$(cd "$(dirname "$0")" && pwd)"

if ! command -v sf >/dev/null; then
    echo "The Salesforce command line (sf) is not installed: npm install --global @salesforce/cli" >&2
    exit 1
fi

echo "This removes the objects and fields of Lead to Cash from '$org', with their records."
read -r -p "Type the name of the org to go on: " answer
if [[ "$answer" != "$org" ]]; then
    echo "Nothing was changed."
    exit 1
fi

# An active flow cannot be deleted, and a flow holds on to its outbound message.
sf project deploy start --metadata-dir "$here/1-switch-off" --target-org "$org" --wait 30
sf project deploy start --metadata-dir "$here/2-remove" --target-org "$org" --wait 30
