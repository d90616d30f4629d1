import { expect } from 'chai';
import { newRecord } from './record.ts';
import { StatusNews } from './status-news.ts';
import { viewOf } from './volume-view.ts';
import type { ReplicaView, VolumeView } from '../orchestrator.ts';

const running = { status: 'running', failures: 0, lastFailure: null } as const;
const record = newRecord(
  { name: 'db', sizeBytes: 1024 ** 3, replicas: 2 },
  { portalPort: 3260, idempotencyKey: null, createdAt: new Date(0) },
);
const starting = viewOf({
  record,
  isDeleting: false,
  node: 'host',
  portal: '127.0.0.1:3260',
  logDirectory: '/logs',
  sinceOf: () => '',
  target: running,
  targetStatus: null,
  refusal: null,
  members: record.members.map((member) => ({
    member,
    facts: running,
    directory: '/d',
    address: 'a',
  })),
});

const inSync = ({ mode }: ReplicaView): boolean => mode === 'in-sync';
const being = (
  status: VolumeView['status'],
  modes: readonly ReplicaView['mode'][],
  reason: string | null = null,
): VolumeView => {
  const replicas = starting.replicas.map((each, i) => ({ ...each, mode: modes[i] ?? 'in-sync' }));
  const inSyncCount = replicas.filter((each) => each.role === 'data' && inSync(each)).length;
  return { ...starting, status, reason, inSyncCount, replicas };
};

describe('what is news of a volume', () => {
  it('is each change of its status and of a replica, once, with the reason', () => {
    const news = new StatusNews();
    expect(news.of(starting)).to.equal(null);
    expect(news.of(being('healthy', []))).to.deep.include({
      severity: 'info',
      message: 'healthy, 2 of 2 replicas in sync',
    });
    expect(news.of(being('healthy', []))).to.equal(null);
    const lost = being('degraded', ['in-sync', 'offline'], 'replica-2 is offline');
    expect(news.of(lost)).to.deep.include({
      severity: 'warning',
      message: 'degraded, 1 of 2 replicas in sync: replica-2 is offline',
    });
    const filled = being('degraded', ['in-sync', 'syncing'], 'replica-2 is syncing, 1%');
    expect(news.of(filled)?.message).to.include('syncing');
    expect(news.of({ ...filled, reason: 'replica-2 is syncing, 2%' })).to.equal(null);
  });

  it('is not that a member in sync comes or goes, which would say the same again', () => {
    const news = new StatusNews();
    const view = being('healthy', []);
    expect(news.of(view)).not.to.equal(null);
    expect(news.of({ ...view, replicas: view.replicas.slice(0, 2) })).to.equal(null);
  });
});
