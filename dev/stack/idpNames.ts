/** The public client of the CLI at the embedded identity provider. */
export const cliClientId = 'waybill-cli';
/** DEVELOPMENT ONLY: a token for the person in the parameter `name`, without a login. */
export const devGrantType = 'urn:waybill:development-only:as';
