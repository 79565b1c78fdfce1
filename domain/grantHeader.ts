/**
 * The Temporal header that carries the grant. It is plaintext in history, so a grant is never a bearer credential.
 * A file of its own, so that the workflow bundle does not take in the schema of the claims.
 */
export const grantHeader = 'waybill-grant';

/** The update that brings a workflow a new grant in place of its own. Its handler must have the new one verified. */
export const adoptUpdate = 'waybill-adopt';
