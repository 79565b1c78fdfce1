#!/usr/bin/env bash
# Makes the secrets that docker-compose.yml mounts, once: random passwords and the key of the workers.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p secrets
# The containers run as other users than the operator who runs this, so the folder guards the files.
chmod 700 secrets
word() { node -p 'require("node:crypto").randomBytes(24).toString("hex")'; }
for name in postgres_password idp_admin_password migrator_password api_password worker_password relay_password; do
  [ -e secrets/$name ] || word > secrets/$name
done
# The key by which workers prove to the API which program they are, and the file from which the API knows it.
[ -e secrets/workload_key ] || node -e '
  const { privateKey, publicKey } = require("node:crypto").generateKeyPairSync("ed25519");
  const jwk = (key) => key.export({ format: "jwk" });
  const { writeFileSync } = require("node:fs");
  writeFileSync("secrets/workloads", JSON.stringify({ worker: { keys: [jwk(publicKey)] } }));
  writeFileSync("secrets/workload_key", JSON.stringify(jwk(privateKey)));'
chmod 644 secrets/*
