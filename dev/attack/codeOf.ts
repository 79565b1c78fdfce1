/** The code of the refusal with which a workflow or an update fails; `undefined` where it does not. */
export async function codeOf(work: Promise<unknown>): Promise<string | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    // Ours is the type of the innermost failure; what has none failed for another reason.
    for (let cause = error; cause instanceof Error; cause = cause.cause)
      if ('type' in cause && typeof cause.type === 'string' && cause.type) return cause.type;
    throw error;
  }
}
