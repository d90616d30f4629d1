import { writeFileSync } from 'node:fs';
import type { Flags } from '../support/daemons.ts';
import type { ReplicatedVolume } from '../support/replicated-volume.ts';

const TOKEN = 'of-this-test-alone';

/** Flags with which a target takes orders from this test over TCP. */
export const controlFlags = (directory: string): Flags => {
  const path = `${directory}/control-token`;
  writeFileSync(path, `${TOKEN}\n`, { mode: 0o600 });
  return { 'control-token-file': path };
};

export interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

export const order = async (
  volume: ReplicatedVolume,
  method: 'GET' | 'POST' | 'PUT' | 'DELETE',
  path: string,
  body?: object,
): Promise<Answer> => {
  const response = await fetch(`http://${volume.target.ready.control}${path}`, {
    method,
    headers: { authorization: `Bearer ${TOKEN}` },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return {
    status: response.status,
    body: (await response.json()) as Readonly<Record<string, unknown>>,
  };
};

export interface SnapshotLine {
  readonly layer: number;
  readonly name: string;
}

export const listSnapshots = async (volume: ReplicatedVolume): Promise<readonly SnapshotLine[]> =>
  (await order(volume, 'GET', '/v1/snapshots')).body['snapshots'] as readonly SnapshotLine[];
