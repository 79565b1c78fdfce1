import { Histogram, type Registry } from 'prom-client';

/** A request that was answered, or given up by its caller. */
export interface AnsweredRequest {
  method: string;
  /** The path of the route with its placeholders; `none` where no route answers. */
  route: string;
  status: number;
  tookMs: number;
}

/** Latencies of the API by route and status. Events of a run stay open for long, so their time says nothing and is left out. */
export function measureRequests(registry: Registry): (request: AnsweredRequest) => void {
  const duration = new Histogram({
    name: 'waybill_http_request_duration_seconds',
    help: 'Time from a request to the last byte of its answer.',
    labelNames: ['method', 'route', 'status'] as const,
    buckets: [0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60],
    registers: [registry],
  });
  return ({ method, route, status, tookMs }) => {
    if (route.endsWith('/events')) return;
    duration.observe({ method, route, status: String(status) }, tookMs / 1000);
  };
}
