import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { policySetTextToParts, policyToJson } from '@cedar-policy/cedar-wasm/nodejs';
import { z } from 'zod';
import type { PolicySet } from '../../domain/policies/policy.ts';
import { roleNameMax } from '../../domain/principal.ts';
import { defaultRoles } from './schema.ts';
import { type Place, policyInvalid, validatePolicies } from './validatePolicies.ts';

/**
 * The set of a project: the tenant boundary, which is always in it; the shipped base policy, or the project’s own
 * `policies/base.cedar` in its place; every other `policies/*.cedar`; and the roles of `policies/roles.json`, or the
 * shipped ones. Without a project, or where it has no such folder, what is shipped. Throws `PolicyInvalid`.
 */
export async function readPolicies(project?: string): Promise<PolicySet> {
  const own = project === undefined ? new Map<string, string>() : await filesIn(join(project, 'policies'));
  if (own.has('boundary.cedar')) {
    const message = 'this name is reserved for the boundary between tenants; choose another';
    throw policyInvalid([{ path: 'policies/boundary.cedar', message }]);
  }
  const files = new Map([...(await filesIn(import.meta.dirname)), ...own]);
  const rolesFile = files.get('roles.json');
  const roles = rolesFile === undefined ? defaultRoles : rolesIn(rolesFile);
  const found = [...files].filter(([name]) => name.endsWith('.cedar')).flatMap(policiesIn);
  checkIds(found);
  const set = { policies: Object.fromEntries(found.map(({ id, text }) => [id, text])), roles };
  validatePolicies(set, new Map(found.map(({ id, place }) => [id, place])));
  return set;
}

interface FoundPolicy {
  id: string;
  text: string;
  place: Place;
}

/** Names and texts of the files of policies and roles, in the order of their names. */
async function filesIn(folder: string): Promise<Map<string, string>> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  const ours = names.filter((name) => name.endsWith('.cedar') || name === 'roles.json').sort();
  return new Map(
    await Promise.all(
      ours.map(async (name) => [name, await readFile(join(folder, name), 'utf8')] as [string, string]),
    ),
  );
}

/** Each policy of a file under its `@id`, by which the audit and every explanation name it. */
function policiesIn([name, text]: [string, string]): FoundPolicy[] {
  const file = `policies/${name}`;
  const parts = policySetTextToParts(text);
  if (parts.type === 'failure') {
    throw policyInvalid(
      parts.errors.map(({ message, help, sourceLocations }) => {
        const line = lineOf(text, sourceLocations?.[0]?.start ?? 0);
        return { path: `${file}:${line}`, message: help ? `${message}; ${help}` : message };
      }),
    );
  }
  if (parts.policy_templates.length > 0)
    throw policyInvalid([{ path: file, message: 'templates (?principal, ?resource) are not supported' }]);
  return parts.policies.map((policy) => {
    const line = text.slice(0, text.indexOf(policy)).split('\n').length;
    const parsed = policyToJson(policy);
    const id = parsed.type === 'success' ? parsed.json.annotations?.id : undefined;
    if (id && /^[A-Za-z0-9._-]{1,100}$/.test(id))
      return { id: `${name.slice(0, -'.cedar'.length)}/${id}`, text: policy, place: { file, line } };
    const message = 'begin the policy with @id("a-name-of-its-own"), by which the audit names it';
    throw policyInvalid([{ path: `${file}:${line}`, message }]);
  });
}

/** Cedar counts bytes. */
function lineOf(text: string, byte: number): number {
  return Buffer.from(text).subarray(0, byte).toString().split('\n').length;
}

function checkIds(found: readonly FoundPolicy[]): void {
  const seen = new Map<string, Place>();
  for (const { id, place } of found) {
    const first = seen.get(id);
    if (first) {
      const message = `line ${first.line} has the same @id`;
      throw policyInvalid([{ path: `${place.file}:${place.line}`, message }]);
    }
    seen.set(id, place);
  }
}

const Roles = z.array(z.string().min(1).max(roleNameMax)).min(1).max(100);

function rolesIn(text: string): readonly string[] {
  try {
    return [...new Set(Roles.parse(JSON.parse(text)))].sort();
  } catch {
    const message = 'must be a list of 1 to 100 names of roles, such as ["data-engineer", "auditor"]';
    throw policyInvalid([{ path: 'policies/roles.json', message }]);
  }
}
