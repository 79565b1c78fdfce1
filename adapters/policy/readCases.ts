import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { PolicyCase } from '../../domain/policies/policyCases.ts';
import { policyInvalid } from './validatePolicies.ts';

/** All cases of a project, from `policies/*.cases.json`, in the order of the names of the files. Throws `PolicyInvalid`. */
export async function readCases(project: string): Promise<PolicyCase[]> {
  const folder = join(project, 'policies');
  const names = await readdir(folder).catch(() => []);
  const files = names.filter((name) => name.endsWith('.cases.json')).sort();
  const cases = await Promise.all(
    files.map(async (name) => casesIn(`policies/${name}`, await readFile(join(folder, name), 'utf8'))),
  );
  return cases.flat();
}

function casesIn(file: string, text: string): PolicyCase[] {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw policyInvalid([{ path: file, message: `is not JSON: ${(error as Error).message}` }]);
  }
  const cases = z.array(PolicyCase).safeParse(json);
  if (cases.success) return cases.data;
  throw policyInvalid(
    cases.error.issues.map(({ path, message }) => ({ path: `${file}: ${path.join('.')}`, message })),
  );
}
