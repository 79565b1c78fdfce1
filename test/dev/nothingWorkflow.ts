/** A workflow of one task. */
export async function nothing(): Promise<void> {}
