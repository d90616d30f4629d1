import { readFile } from 'node:fs/promises';
import { controlGet, controlSend, type ControlPlace } from '../local/control-client.ts';
import { parseTargetStatus, type TargetStatus } from '../local/target-status.ts';
import { TARGET_CONTROL_PORT } from './names.ts';

/** Growing waits for the slowest replica's disk. */
const ORDER_TIMEOUT_MS = 30_000;

/** The control APIs of targets, at the addresses of their Services. */
export interface Targets {
  /** Null: it does not answer. */
  status(address: string): Promise<TargetStatus | null>;
  /** Why the target refuses, in words; null: it is done. Rejects where it cannot be reached. */
  order(address: string, path: string, body: unknown): Promise<string | null>;
}

export class HttpTargets implements Targets {
  readonly #tokenFile: string;
  readonly #port: number;

  constructor(options: { readonly tokenFile: string; readonly port?: number }) {
    this.#tokenFile = options.tokenFile;
    this.#port = options.port ?? TARGET_CONTROL_PORT;
  }

  /** Read anew each time: the Secret may change while this runs. */
  async place(address: string): Promise<ControlPlace> {
    const token = (await readFile(this.#tokenFile, 'utf8')).trim();
    return { host: address, port: this.#port, token };
  }

  async status(address: string): Promise<TargetStatus | null> {
    const place = { host: address, port: this.#port, token: null };
    const answer = await controlGet(place, '/v1/status').catch(() => null);
    return answer?.status === 200 ? parseTargetStatus(answer.body) : null;
  }

  async order(address: string, path: string, body: unknown): Promise<string | null> {
    const place = await this.place(address);
    const timeoutMs = ORDER_TIMEOUT_MS;
    const answer = await controlSend(place, 'PUT', path, { body, timeoutMs });
    if (answer.status === 200) return null;
    return detailOf(answer.body);
  }
}

const detailOf = (body: string): string => {
  try {
    return (JSON.parse(body) as { detail?: string }).detail ?? body;
  } catch {
    return body;
  }
};
