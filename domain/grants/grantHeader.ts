/*
 * Names that both sides of the sandbox of workflows know. A file of its own, so that the workflow bundle does not take
 * in the schema of the claims.
 */

/** The Temporal header that carries the grant. It is plaintext in history, so a grant is never a bearer credential. */
export const grantHeader = 'waybill-grant';

/** On an activity: why the workflow finds that its grant was signed for something else (`BindingFault`). */
export const faultHeader = 'waybill-fault';

/**
 * On an execution that continues an earlier one: the id of the first execution. A client that starts a workflow cannot know it
 * beforehand, and so cannot present arguments of its own as those of a continuation.
 */
export const continuedHeader = 'waybill-continued';

/** On an activity of an execution that a reset has made: the id of the execution that was reset. */
export const resetHeader = 'waybill-reset';

/**
 * The update that brings a workflow a new grant in place of its own, and the local activity by which its
 * handler has it verified. Only once that has succeeded under the new grant does the workflow carry it.
 */
export const replaceGrantUpdate = 'waybill-replace-grant';
export const replaceGrantActivity = 'replaceGrant';

/** The activity that returns the verified principal of a grant to its workflow. Every worker with the plugin has it. */
export const callerActivity = 'waybill-caller';
