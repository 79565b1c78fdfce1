import { createServer } from 'node:http';
import { z } from 'zod';
import { readSettings } from '../../domain/settings.ts';
import { createIdp } from './idp.ts';
import { ensureIdpKeys } from './idpKeys.ts';

/** The identity provider as a process of its own. Ends when its parent does. */
const settings = readSettings(
  z.object({
    WAYBILL_ISSUER_PORT: z.coerce.number().int().min(1).max(65_535),
    WAYBILL_AUDIENCE: z.string().default('waybill'),
    WAYBILL_IDP_KEYS: z.string(),
    WAYBILL_LOGOUT_URL: z.url().optional(),
  }),
  process.env,
);
if (process.env.NODE_ENV === 'production')
  throw new Error('The development identity provider is not for production.');

const host = `127.0.0.1:${settings.WAYBILL_ISSUER_PORT}`;
const provider = createIdp(
  `http://${host}`,
  settings.WAYBILL_AUDIENCE,
  await ensureIdpKeys(settings.WAYBILL_IDP_KEYS),
  settings.WAYBILL_LOGOUT_URL,
);
provider.on('server_error', (_ctx, error) => console.error(error));
provider.on('backchannel.error', (_ctx, error) => console.error(error));
const handle = provider.callback();
const server = createServer((request, response) => {
  // A page under a foreign name that resolves to this machine (DNS rebinding) is not for us.
  if (request.headers.host !== host) {
    response.writeHead(421, { 'content-type': 'text/plain' }).end('Misdirected Request\n');
    return;
  }
  handle(request, response);
});
server.listen(settings.WAYBILL_ISSUER_PORT, '127.0.0.1', () => {
  process.send?.({ ready: true, port: settings.WAYBILL_ISSUER_PORT });
});

const end = () => {
  server.close(() => process.exit(0));
  server.closeAllConnections();
};
for (const event of ['SIGTERM', 'SIGINT', 'disconnect'] as const) process.once(event, end);
