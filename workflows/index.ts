// The worker starts any exported function by its name, so only workflows are exported here.
export { runPipeline } from './runPipeline.ts';
