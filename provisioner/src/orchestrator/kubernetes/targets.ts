import { readFile } from 'node:fs/promises';
import { Problem } from '../../problem.ts';
import { controlGet, controlSend, type ControlPlace } from '../local/control-client.ts';
import { parseTargetStatus, type TargetStatus } from '../local/target-status.ts';
import {
  createSnapshot,
  deleteSnapshot,
  targetSnapshots,
  type SnapshotPlaces,
  type TargetSnapshot,
} from '../local/volume-snapshots.ts';
import { TARGET_CONTROL_PORT } from './names.ts';
import type { VolumeResource } from './volume-resource.ts';

/** Growing waits for the slowest replica's disk. */
const ORDER_TIMEOUT_MS = 30_000;

/** The control APIs of targets, at the addresses of their Services. */
export interface Targets {
  /** Null: it does not answer. */
  status(address: string): Promise<TargetStatus | null>;
  /** Why the target refuses, in words; null: it is done. Rejects where it cannot be reached. */
  order(address: string, path: string, body: unknown): Promise<string | null>;
  /** The oldest first. Rejects with Problem. */
  snapshots(at: TargetOf): Promise<readonly TargetSnapshot[]>;
  /** One of this name that is there already is taken for it. Rejects with Problem. */
  takeSnapshot(at: TargetOf, name: string): Promise<void>;
  /** Resolves also where there is none. Rejects with Problem. */
  dropSnapshot(at: TargetOf, name: string): Promise<void>;
}

export interface TargetOf {
  readonly volume: string;
  /** Null: it has none yet. */
  readonly address: string | null;
}

export const targetOf = ({ metadata, status }: VolumeResource): TargetOf => {
  const portal = status?.portal;
  const address = portal === undefined ? null : portal.slice(0, portal.lastIndexOf(':'));
  return { volume: metadata.name, address };
};

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

  async snapshots(at: TargetOf): Promise<readonly TargetSnapshot[]> {
    return targetSnapshots(await this.#places(at));
  }

  async takeSnapshot(at: TargetOf, name: string): Promise<void> {
    await unless('snapshot-exists', createSnapshot(await this.#places(at), name));
  }

  async dropSnapshot(at: TargetOf, name: string): Promise<void> {
    await unless('snapshot-not-found', deleteSnapshot(await this.#places(at), name));
  }

  async #places({ volume, address }: TargetOf): Promise<SnapshotPlaces> {
    const target = address === null ? null : await this.place(address);
    return { volume, target, replicas: [] };
  }
}

/** It was so already: an attempt before may have done it. */
const unless = async (code: Problem['code'], work: Promise<unknown>): Promise<void> => {
  await work.catch((error: unknown) => {
    if (!(error instanceof Problem && error.code === code)) throw error;
  });
};

const detailOf = (body: string): string => {
  try {
    return (JSON.parse(body) as { detail?: string }).detail ?? body;
  } catch {
    return body;
  }
};
