// The worker starts any exported function by its name, so only workflows are exported here.
export { deliverWebhook } from './deliverWebhook.ts';
export { fireSchedule } from './fireSchedule.ts';
export { runPipeline } from './runPipeline.ts';
export { sweepRuns } from './sweepRuns.ts';
