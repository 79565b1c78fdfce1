/** What the processes without identity are told, as one argument in JSON. */
export interface PlainSettings {
  /** URLs without a password, by role, and the files with the passwords. */
  databases: Record<
    'waybill_api' | 'waybill_worker' | 'waybill_relay',
    { url: string; passwordFile: string }
  >;
  project: string;
  objects: string;
  temporalAddress: string;
  taskQueue: string;
}

export function plainSettings(): PlainSettings {
  return JSON.parse(process.argv[2]!) as PlainSettings;
}
