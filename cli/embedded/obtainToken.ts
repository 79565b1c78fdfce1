/** An access token for one of the embedded stack’s people. Throws with the provider’s own words where it refuses. */
export async function obtainToken(
  issuerUrl: string,
  name: string,
): Promise<{ token: string; expiresInS: number }> {
  const response = await fetch(new URL('/token', issuerUrl), {
    method: 'POST',
    body: new URLSearchParams({ grant_type: devGrantType, client_id: cliClientId, name }),
    signal: AbortSignal.timeout(timeoutMs),
  }).catch((error) => {
    throw new Error(`The identity provider at ${issuerUrl} does not answer. Is waybill dev running?`, {
      cause: error,
    });
  });
  const body = (await response.json()) as Record<string, unknown>;
  if (!response.ok) throw new Error(String(body.error_description ?? body.error));
  return { token: String(body.access_token), expiresInS: Number(body.expires_in) };
}

const timeoutMs = 10_000;

/** The public client of the CLI at the embedded identity provider. */
export const cliClientId = 'waybill-cli';
/** DEVELOPMENT ONLY: a token for the person in the parameter `name`, without a login. */
export const devGrantType = 'urn:waybill:development-only:as';
