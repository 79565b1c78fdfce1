import type { GrantClaims } from '../../../domain/grants/grant.ts';

export type Claims = GrantClaims & Record<string, unknown>;

/** The same grant, as if it had been given to the workflow of this id. */
export function boundTo(claims: GrantClaims, workflowId: string): Claims {
  return { ...claims, tctx: { ...claims.tctx, workflowId } };
}

/** Every claim that holds no others, by the way to it. */
export function leavesOf(claims: object, path: string[] = []): [string[], unknown][] {
  return Object.entries(claims).flatMap(([name, value]) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? leavesOf(value, [...path, name])
      : [[[...path, name], value] as [string[], unknown]],
  );
}

/** The claims with another value at that place; `undefined` takes it away. */
export function change(claims: object, [name, ...rest]: readonly string[], value: unknown): object {
  const inner = (claims as Record<string, unknown>)[name!];
  return { ...claims, [name!]: rest.length > 0 ? change(inner as object, rest, value) : value };
}
