#!/bin/sh
# Makes what compose.cluster.yaml needs to know and nobody else: one file a secret, in secrets/ (or the folder that is named). Files that
# are there stay as they are. Keep a copy of master_key: without it no stored credential can be read.
set -eu
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
# Nobody else enters the folder. The files themselves are open, because a container reads them as another user.
chmod 700 "$folder"

random() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }

make() { # NAME TEXT
  [ ! -s "$folder/$1" ] || return 0
  printf '%s\n' "$2" >"$folder/$1"
  chmod 644 "$folder/$1"
  echo "made $1"
}

make postgres_password "$(random 24)"
make database_owner_url "postgresql://omni_owner:$(random 24)@postgres/omni"
make database_url "postgresql://omni_app:$(random 24)@postgres/omni"
make master_key "$(head -c 32 /dev/urandom | base64 | tr -d '\n')"
make admin_key "omniadm-$(random 32)"
make admin_password "$(random 12)"
echo "The dashboard's password is in $folder/admin_password."
