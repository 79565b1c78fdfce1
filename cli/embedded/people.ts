import type { PrincipalKind } from '../../domain/principal.ts';

/** One who can be `--as NAME` in the embedded stack. */
export interface DevPerson {
  /** Becomes `sub`; the agent's is the person that it acts for. */
  subject: string;
  kind: PrincipalKind;
  tenant: string;
  roles: readonly string[];
  /** RFC 8693 `act`: who really acts, where it is not the subject. */
  act?: { sub: string; kind: PrincipalKind };
}

/** The people of the examples. None of them exists outside of development. */
export const people: Readonly<Record<string, DevPerson>> = {
  alice: { subject: 'alice', kind: 'person', tenant: 'acme', roles: ['data-engineer'] },
  bob: { subject: 'bob', kind: 'person', tenant: 'acme', roles: ['data-steward'] },
  erin: { subject: 'erin', kind: 'person', tenant: 'acme', roles: ['data-steward'] },
  carol: { subject: 'carol', kind: 'person', tenant: 'acme', roles: ['operator'] },
  dave: { subject: 'dave', kind: 'person', tenant: 'globex', roles: ['data-engineer'] },
  'billing-service': {
    subject: 'billing-service',
    kind: 'service',
    tenant: 'acme',
    roles: ['data-engineer'],
  },
  copilot: {
    subject: 'alice',
    kind: 'person',
    tenant: 'acme',
    roles: ['data-engineer'],
    act: { sub: 'copilot', kind: 'agent' },
  },
};

export function findPerson(name: unknown): DevPerson | undefined {
  return typeof name === 'string' && Object.hasOwn(people, name) ? people[name] : undefined;
}
