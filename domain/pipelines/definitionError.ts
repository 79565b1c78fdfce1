import type { Issue } from '../errors.ts';

/**
 * A pipeline cannot be loaded as it is written. It is thrown while a project loads, before anything runs, and its
 * message is for the author: each issue names the path in the definition and says what to write instead.
 */
export class DefinitionError extends Error {
  override readonly name = 'DefinitionError';
  readonly code = 'DefinitionInvalid';
  readonly issues: readonly Issue[];

  constructor(subject: string, issues: readonly Issue[]) {
    super(`${subject}: ${issues.map((i) => (i.path ? `${i.path}: ${i.message}` : i.message)).join('; ')}`);
    this.issues = issues;
  }
}

/** Puts the name of a pipeline, or of a part of it, before what a deeper check says. */
export function describedIn<T>(name: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof DefinitionError)) throw error;
    const part = error.message.slice(0, error.message.indexOf(':'));
    throw new DefinitionError(
      name,
      error.issues.map(({ path, message }) => ({ path: [part, path].filter(Boolean).join('.'), message })),
    );
  }
}
