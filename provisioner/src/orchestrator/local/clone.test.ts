import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Problem } from '../../problem.ts';
import type { CloneSpec } from '../orchestrator.ts';
import { planClone } from './clone.ts';
import type { VolumeRecord } from './record.ts';

const MIB = 1024 * 1024;

describe('a clone on one host', () => {
  let directory: string;
  const servers: Server[] = [];

  /** A daemon that answers these paths. */
  const daemon = async (name: string, answers: Record<string, unknown>): Promise<string> => {
    const socket = join(directory, name);
    const server = createServer(({ url = '' }, response) => {
      const body = answers[url];
      response.writeHead(body === undefined ? 404 : 200).end(JSON.stringify(body));
    });
    servers.push(server);
    await once(server.listen(socket), 'listening');
    return socket;
  };

  beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'clone-'))));
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
    rmSync(directory, { recursive: true });
  });

  it('is made of copies only that are in sync once the snapshot is there', async () => {
    const ids = ['one', 'two', 'three'];
    const copies = ids.map((id) => ({ id, directory: `/copies/${id}` }));
    const replicas = ids.map((id) => ({ id, mode: id === 'two' ? 'offline' : 'in-sync' }));
    const createdAt = '2026-01-01T00:00:00.000Z';
    const target = await daemon('target', {
      '/v1/snapshots': { snapshots: [{ layer: 3, name: 'monday', createdAt }] },
      '/v1/status': { state: 'degraded', replicas },
    });
    const replica = await daemon('replica', {
      '/v1/status': { layerUsage: [{ id: 3, sizeBytes: MIB, freedBytes: 0 }] },
    });
    const members = ids.map((id) => ({ id, role: 'data' }));
    const record = { id: 'origin', name: 'origin', members } as unknown as VolumeRecord;
    const places = { volume: 'origin', target, replicas: [replica] };
    const plan = (wanted: number): ReturnType<typeof planClone> => {
      const source = { volume: 'origin', snapshot: 'monday' };
      const spec = { name: 'copy', source, replicas: wanted, sizeBytes: null };
      return planClone(spec as unknown as CloneSpec, { record, places, copies });
    };
    expect(await plan(2)).to.deep.include({
      layer: 3,
      sizeBytes: MIB,
      copies: ['/copies/one', '/copies/three'],
    });
    const refused = await plan(3).catch((error: unknown) => error);
    expect(refused).to.be.instanceOf(Problem).and.include({ code: 'clone-refused' });
    expect((refused as Problem).message).to.include('2 replicas in sync');
  });
});
