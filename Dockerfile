# Workers need glibc (the Temporal core is a native library), so no Alpine.
FROM node:24-bookworm-slim AS base
WORKDIR /opt/waybill
ENV NODE_ENV=production

FROM base AS dependencies
COPY package.json package-lock.json ./
RUN npm ci --omit=dev

FROM base
COPY --from=dependencies /opt/waybill/node_modules ./node_modules
COPY . .
# Workflows are bundled once here, so that every worker runs the same code and starts quickly.
RUN node workers/bundleMain.ts dist/workflows.js
RUN mkdir -p /var/lib/waybill/objects /var/lib/waybill/grant-keys /var/lib/waybill/key-roots /var/lib/waybill/webhook-keys \
  && chmod 700 /var/lib/waybill/grant-keys /var/lib/waybill/webhook-keys \
  && chown node:node /var/lib/waybill/*
USER node
# `api/main.ts` or `workers/main.ts`; docker-compose.yml says which.
CMD ["node", "api/main.ts"]
