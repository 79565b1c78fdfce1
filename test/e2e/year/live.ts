import assert from 'node:assert/strict';
import { appendFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Approval, Schedule, SignedDecision } from '../../../sdk/client.ts';
import { until } from '../../support/until.ts';
import { type Course, courses, dayOf } from './days.ts';
import type { World } from './world.ts';

const hourMs = 3_600_000;
const path = 'books.ndjson';

export const schedule = 'books';

export const terms = {
  cron: '0 6 * * *',
  timeZone: 'Europe/Vienna',
  source: { path },
  pauseOnFailure: true,
} as const;

/** What has to be on record of one day: by the plan of it, never by what was answered. */
export interface LivedDay {
  nominalMs: number;
  /** How it was fired, or why not. `null`: the schedule was blocked, so nothing was started. */
  firing: 'fired' | 'DelegationRevoked' | 'DelegationExpired' | 'FiringSkipped' | null;
  /** Of the run, where there is one. */
  course: Course | null;
  /** What the run has read: everything since the last that was published. */
  read: readonly Entry[];
  workflowId: string | null;
}

export interface Entry {
  id: string;
  cents: number;
}

type Firing = Awaited<ReturnType<World['startFiring']>>;

/**
 * Lives through a schedule at its times, one after the other. Each morning something is entered into the books, which the next run
 * reads, and as long as none was published those after it too. What people make of a run, `days.ts` says. The owner renews her
 * consent in time, but for the second time she is three days late.
 */
export class Life {
  readonly lived: LivedDay[] = [];
  private readonly world: World;
  private readonly lifetime: string;
  private schedule!: Schedule;
  private day!: LivedDay;
  private unpublished: readonly Entry[] = [];
  private renewals = 0;
  /** Days that the schedule has been blocked for, because the consent ended. */
  private daysLate = 0;
  /** A run that waits for the right of its owner, and what has to be lifted. */
  private suspended: { firing: Firing; read: readonly Entry[]; revocation: string } | undefined;

  /** @param options `lifetime`: of a consent */
  constructor(world: World, { lifetime }: { lifetime: string }) {
    this.world = world;
    this.lifetime = lifetime;
  }

  async begin(): Promise<void> {
    await writeFile(join(this.world.roots, path), '');
    const draft = { id: schedule, pipeline: 'books', terms, lifetime: this.lifetime };
    this.schedule = await this.world.ask('alice', 'POST', '/v1/schedules', draft);
  }

  /** From two hours before its time to half past twenty hours after it; some days have only 23. */
  async liveThrough(n: number, nominalMs: number): Promise<void> {
    this.day = { nominalMs, firing: null, course: null, read: [], workflowId: null };
    this.lived.push(this.day);
    await this.goOn(-2);
    await this.enter(n);
    if (this.suspended) await this.skip(this.suspended);
    else if (this.schedule.state === 'blocked') this.daysLate++;
    else if (dayOf(n) === 'revoked') await this.fireRevoked();
    else if (this.consentEndsMs <= nominalMs) await this.fireBlocked('DelegationExpired');
    else await this.fireGated(courses[dayOf(n) as keyof typeof courses]);
    await this.goOn(20.5);
    await this.renew();
  }

  private async fireRevoked(): Promise<void> {
    await this.goOn(-1);
    const revocation = await this.revoke();
    await this.fireBlocked('DelegationRevoked');
    await this.goOn(8);
    await this.restore(revocation);
    this.schedule = await this.world.ask('alice', 'POST', `/v1/schedules/${schedule}/resume`);
  }

  private async fireBlocked(code: 'DelegationRevoked' | 'DelegationExpired'): Promise<void> {
    await this.goOn(0);
    const firing = await this.start(code);
    assert.deepEqual(await firing.result(), { outcome: 'blocked', code });
    this.schedule = await this.world.ask('carol', 'GET', `/v1/schedules/${schedule}`);
  }

  private async fireGated(course: Course): Promise<void> {
    await this.goOn(0);
    const read = this.unpublished;
    Object.assign(this.day, { course, read });
    const firing = await this.start('fired');
    await this.untilRunIs('awaiting-approval');
    if (course.withdrawn) await this.goOn(1);
    const revocation = course.withdrawn && (await this.revoke());
    for (const { afterHours, who, vote } of course.votes) {
      await this.goOn(afterHours);
      await this.vote(who, vote);
    }
    if (revocation) {
      await this.untilRunIs('suspended');
      this.suspended = { firing, read, revocation };
      return;
    }
    if (course.run === 'ApprovalExpired') await this.goOn(20.25);
    await firing.result();
    if (course.run === 'completed') this.publish(read);
  }

  /** The run of the day before goes on still, so there is none. Then that one gets its right back. */
  private async skip({ firing, read, revocation }: NonNullable<Life['suspended']>): Promise<void> {
    await this.goOn(0);
    const skipped = await this.start('FiringSkipped');
    assert.deepEqual(await skipped.result(), { outcome: 'skipped', code: 'FiringSkipped' });
    await this.goOn(10);
    await this.restore(revocation);
    await firing.result();
    this.publish(read);
    this.suspended = undefined;
  }

  private goOn(hours: number): Promise<void> {
    return this.world.goOnTo(this.day.nominalMs + hours * hourMs);
  }

  private async start(firing: NonNullable<LivedDay['firing']>): Promise<Firing> {
    const handle = await this.world.startFiring(this.day.nominalMs);
    Object.assign(this.day, { firing, workflowId: handle.workflowId });
    return handle;
  }

  private async enter(n: number): Promise<void> {
    const entries = [
      { id: new Date(this.day.nominalMs).toISOString().slice(0, 10), cents: n },
      { id: 'total', cents: (n * (n + 1)) / 2 },
    ];
    this.unpublished = [...this.unpublished, ...entries];
    const lines = entries.map((one) => `${JSON.stringify(one)}\n`).join('');
    await appendFile(join(this.world.roots, path), lines);
  }

  private publish(read: readonly Entry[]): void {
    this.unpublished = this.unpublished.slice(read.length);
  }

  private async vote(who: Course['votes'][number]['who'], decision: 'approve' | 'reject'): Promise<void> {
    const { world } = this;
    const pending = '/v1/approvals?state=pending';
    const { items } = await world.ask<{ items: Approval[] }>(who, 'GET', pending);
    assert.equal(items.length, 1);
    const { id, digest } = items[0]!;
    const body = { decision, digest };
    const decided = await world.ask<SignedDecision>(who, 'POST', `/v1/approvals/${id}/decisions`, body);
    const counted = 'SELECT FROM waybill.decision WHERE id = $1 AND counted';
    await until(`${who} is counted`, async () => (await world.rows(counted, [decided.id])).length === 1);
  }

  private async revoke(): Promise<string> {
    const { id } = this.schedule.owner;
    const body = { kind: 'principal', id };
    const made = await this.world.ask<{ id: string }>('carol', 'POST', '/v1/revocations', body);
    await until('everybody knows of it', async () => this.world.isRevoked(id).every(Boolean));
    return made.id;
  }

  private async restore(revocation: string): Promise<void> {
    await this.world.ask('carol', 'DELETE', `/v1/revocations/${revocation}`);
    const { id } = this.schedule.owner;
    await until('everybody knows of it', async () => !this.world.isRevoked(id).some(Boolean));
  }

  private get consentEndsMs(): number {
    return Date.parse(this.schedule.delegation!.expiresAt);
  }

  private async renew(): Promise<void> {
    // She cannot while her right is withdrawn.
    if (this.suspended) return;
    const forgets = this.renewals === 1 && this.daysLate < 3;
    if (forgets || this.consentEndsMs - this.world.nowMs() > 72 * hourMs) return;
    const { revision } = this.schedule;
    const body = { revision, lifetime: this.lifetime };
    this.schedule = await this.world.ask('alice', 'POST', `/v1/schedules/${schedule}/renew`, body);
    this.renewals++;
  }

  private async untilRunIs(state: string): Promise<void> {
    const inState = 'SELECT FROM waybill.run WHERE state = $1';
    await until(`the run is ${state}`, async () => (await this.world.rows(inState, [state])).length === 1);
  }
}
