import { connect } from '../../cli/connect.ts';
import { type CliContext, CliError } from '../../cli/context.ts';
import { applySchedules, planSchedules } from '../../cli/declaredSchedules.ts';
import type { Schedule } from '../../sdk/client.ts';
import { packageFile } from '../stack/nodeService.ts';

export interface Tomorrow {
  schedule: Schedule;
  /** RFC 3339. */
  next: string;
}

/** The schedule that the example declares, in alice’s name; and when it is due next. Done already, it is left as it is. */
export async function scheduleCountries(context: CliContext): Promise<Tomorrow> {
  const { loadProject } = await import('../../engine/project/loadProject.ts');
  const project = await loadProject(packageFile('examples/acme'));
  const { plan } = await planSchedules(project, { as: 'alice' }, context);
  const refused = (await applySchedules(plan!)).find(({ code }) => code !== null);
  if (refused) throw new CliError(`The schedule of countries was refused: ${refused.code}.`);
  const client = connect(context, { as: 'alice' });
  const schedule = await client.getSchedule('countries');
  const { cron, timeZone } = schedule.terms;
  const { times } = await client.previewSchedule({ ...(cron && { cron }), ...(timeZone && { timeZone }) }, 1);
  return { schedule, next: times[0]! };
}
