/** Of each code: the status over HTTP, whether trying again may help, and the public message. */
export type ErrorTable = Record<string, { status: number; retryable: boolean; message: string }>;
