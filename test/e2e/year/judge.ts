import { isDeepStrictEqual } from 'node:util';
import type { ApprovalSubject, Changes } from '../../../domain/approvals/approval.ts';
import type { Counts } from '../../../domain/runs/run.ts';
import type { Course } from './days.ts';
import type { Entry, LivedDay } from './live.ts';
import type { World } from './world.ts';

/** A day as it is on record. */
interface Recorded {
  nominalMs: number;
  outcome: string;
  code: string | null;
  run: string | null;
  end: string | null;
  counts: Counts | null;
  approval: { state: string; shown: ApprovalSubject } | null;
  approvals: number;
  votes: readonly { who: string; vote: string }[];
  /** What the audit has of it, in its order; events without an actor, without a name. */
  lapses: readonly string[];
  states: readonly string[];
}

/** No history may be longer, whatever its days were like: a run that waits for a day for its right asks each hour. */
const historyEventsMax = 500;

/** Holds what is on record against what has to be there. Resolves with each difference. */
export async function judge(world: World, lived: readonly LivedDay[]): Promise<string[]> {
  const recorded = await world.rows<Recorded>(asRecorded);
  const violations: string[] = [];
  const expect = (what: string, actual: unknown, wanted: unknown) => {
    if (!isDeepStrictEqual(actual, wanted))
      violations.push(`${what}: ${JSON.stringify(actual)}, not ${JSON.stringify(wanted)}`);
  };

  const started = lived.filter(({ firing }) => firing !== null);
  expect(
    'times on record',
    recorded.map(({ nominalMs }) => nominalMs),
    started.map(({ nominalMs }) => nominalMs),
  );
  const books = new Map<string, Entry & { run: string }>();
  for (const [i, day] of started.entries()) {
    const found = recorded[i];
    if (found === undefined) continue;
    const when = new Date(day.nominalMs).toISOString();
    expect(`${when} came to`, outcomeOf(found), wantedOutcome(day));
    if (!day.course) continue;
    expect(`${when} was shown to have read`, found.approval?.shown.counts.read, day.read.length);
    if (day.course.run !== 'completed') continue;
    const changes = changesBy(day.read, books);
    expect(`${when} was shown`, found.approval?.shown.changes, changes);
    expect(`${when} was stored`, found.counts?.stored, changes.added + changes.changed);
    for (const one of day.read) books.set(one.id, { ...one, run: found.run! });
  }
  const rows = await world.rows<{ id: string }>(
    'SELECT id, cents::integer AS cents, _run AS run FROM books ORDER BY id',
  );
  const wanted = [...books.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  expect('rows', rows, wanted);

  for (const workflowId of [...lived.map((day) => day.workflowId), ...recorded.map(({ run }) => run)]) {
    if (workflowId === null) continue;
    const { events } = await world.client.workflow.getHandle(workflowId).fetchHistory();
    if (events!.length > historyEventsMax) violations.push(`${workflowId} has ${events!.length} events`);
  }
  expect('open workflows', await world.openWorkflows(), []);
  expect('signed by a timer', await world.rows(byNobody), []);
  return violations;
}

function outcomeOf({ outcome, code, end, approval, approvals, votes, lapses, states }: Recorded) {
  return { outcome, code, end, approval: approval?.state ?? null, approvals, votes, lapses, states };
}

function wantedOutcome({ firing, course }: LivedDay): ReturnType<typeof outcomeOf> {
  if (!course)
    return {
      outcome: firing === 'FiringSkipped' ? 'skipped' : 'blocked',
      code: firing,
      end: null,
      approval: null,
      approvals: 0,
      votes: [],
      lapses: [],
      states: [],
    };
  return {
    outcome: 'fired',
    code: null,
    end: course.run,
    approval: approvalAfter[course.run],
    approvals: 1,
    votes: course.votes.map(({ who, vote }) => ({ who, vote })),
    lapses: course.lapses,
    states: [
      ...(course.withdrawn ? ['suspended', 'resumed'] : []),
      course.run === 'completed' ? 'completed' : 'cancelled',
    ],
  };
}

const approvalAfter: Readonly<Record<Course['run'], string>> = {
  completed: 'approved',
  ApprovalRejected: 'rejected',
  ApprovalExpired: 'expired',
};

/** What publishing these would do; of two entries with one key the later counts. */
function changesBy(read: readonly Entry[], books: ReadonlyMap<string, Entry>): Changes {
  const ids = new Set(read.map(({ id }) => id));
  const changed = [...ids].filter((id) => books.has(id)).length;
  return {
    added: ids.size - changed,
    changed,
    unchanged: 0,
    deduplicated: read.length - ids.size,
  };
}

const asRecorded = `
  SELECT (extract(epoch FROM f.nominal_at) * 1000)::float8 AS "nominalMs", f.outcome, f.code, f.run_id AS run,
    coalesce(r.reason ->> 'code', r.state) AS "end", r.counts,
    (SELECT json_build_object('state', a.state, 'shown', a.shown) FROM waybill.approval a
     WHERE a.run_id = f.run_id ORDER BY round DESC LIMIT 1) AS approval,
    (SELECT count(*)::integer FROM waybill.approval a WHERE a.run_id = f.run_id) AS approvals,
    (SELECT coalesce(json_agg(json_build_object('who', d.by ->> 'subject', 'vote', d.vote) ORDER BY d.at), '[]')
     FROM waybill.decision d WHERE d.run_id = f.run_id) AS votes,
    (SELECT coalesce(json_agg(substr(e.action, 10) ORDER BY e.id), '[]') FROM waybill.audit_event e
     WHERE e.run_id = f.run_id AND e.actor IS NULL
       AND e.action IN ('approval.reminded', 'approval.escalated', 'approval.expired')) AS lapses,
    (SELECT coalesce(json_agg(substr(e.action, 5) ORDER BY e.id), '[]') FROM waybill.audit_event e
     WHERE e.run_id = f.run_id AND e.action IN
       ('run.suspended', 'run.resumed', 'run.completed', 'run.cancelled', 'run.failed')) AS states
  FROM waybill.firing f LEFT JOIN waybill.run r ON r.id = f.run_id
  ORDER BY f.nominal_at`;

const byNobody = `
  SELECT e.id, e.action FROM waybill.audit_event e
  WHERE e.action IN ('decision.counted', 'approval.approved', 'approval.rejected') AND e.actor IS NULL`;
