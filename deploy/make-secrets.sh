#!/usr/bin/env bash
# Makes the secrets that docker-compose.yml mounts, once: random passwords.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p secrets
# The containers run as other users than whoever runs this, so the folder guards the files.
chmod 700 secrets
word() { node -p 'require("node:crypto").randomBytes(24).toString("hex")'; }
for name in postgres_password idp_admin_password migrator_password api_password worker_password relay_password; do
  [ -e secrets/$name ] || word > secrets/$name
done
chmod 644 secrets/*
