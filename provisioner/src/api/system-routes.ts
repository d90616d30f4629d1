import type { FastifyInstance } from 'fastify';
import type { Orchestrator, VolumeStatus } from '../orchestrator/orchestrator.ts';
import { Problem } from '../problem.ts';
import { VERSION } from '../version.ts';
import type { ApiContext } from './app.ts';
import { escapeLabel, mergeMetrics } from './metrics-text.ts';
import { problems } from './schemas.ts';

const STATUSES: readonly VolumeStatus[] = [
  'healthy',
  'degraded',
  'unavailable',
  'starting',
  'deleting',
];

export function systemRoutes(app: FastifyInstance, context: ApiContext): void {
  const { orchestrator } = context;

  app.get(
    '/v1/status',
    {
      schema: {
        operationId: 'getStatus',
        summary: 'The whole system in one answer',
        tags: ['system'],
        response: { 200: { $ref: 'System#' }, ...problems },
      },
    },
    async () => {
      const volumes = orchestrator.volumes();
      const damaged = orchestrator.damaged();
      const counts = Object.fromEntries(
        STATUSES.map((status) => [status, volumes.filter((v) => v.status === status).length]),
      );
      return {
        version: VERSION,
        orchestrator: orchestrator.kind,
        status: overall(orchestrator),
        startedAt: context.startedAt.toISOString(),
        pid: process.pid,
        runtime: `Node.js ${process.version}`,
        dataDirectory: context.dataDirectory,
        volumes: { total: volumes.length, ...counts },
        volumeBytes: volumes.reduce((sum, { size }) => sum + size, 0),
        nodes: await orchestrator.nodes(),
        pools: await orchestrator.pools(),
        damaged,
      };
    },
  );

  app.get(
    '/livez',
    { schema: { operationId: 'livez', summary: 'The process answers', tags: ['health'] } },
    (_, reply) => reply.type('text/plain').send('ok\n'),
  );

  app.get(
    '/readyz',
    {
      schema: {
        operationId: 'readyz',
        summary: 'Volumes of the last run are started',
        tags: ['health'],
      },
    },
    (_, reply) => {
      if (!context.isReady()) throw new Problem('stopping', 'the system is starting or stopping');
      return reply.type('text/plain').send('ok\n');
    },
  );

  app.get(
    '/metrics',
    {
      schema: {
        operationId: 'metrics',
        summary: 'Prometheus text of all daemons and of this server',
        tags: ['health'],
      },
    },
    async (_, reply) =>
      reply
        .type('text/plain; version=0.0.4; charset=utf-8')
        .send(
          mergeMetrics([
            { labels: {}, text: ownMetrics(orchestrator) },
            ...(await orchestrator.scrape()),
          ]),
        ),
  );
}

function overall(orchestrator: Orchestrator): 'healthy' | 'degraded' | 'unavailable' {
  const volumes = orchestrator.volumes();
  if (volumes.some(({ status }) => status === 'unavailable')) return 'unavailable';
  if (orchestrator.damaged().length > 0) return 'unavailable';
  return volumes.some(({ status }) => status === 'degraded') ? 'degraded' : 'healthy';
}

function ownMetrics(orchestrator: Orchestrator): string {
  const lines = [
    '# HELP openebs_volume_state Whether the volume is in this state, seen from the control plane.',
    '# TYPE openebs_volume_state gauge',
  ];
  const volumes = orchestrator.volumes();
  for (const { name, status } of volumes) {
    for (const state of STATUSES) {
      const labels = `volume="${escapeLabel(name)}",state="${state}"`;
      lines.push(`openebs_volume_state{${labels}} ${status === state ? 1 : 0}`);
    }
  }
  lines.push(
    '# HELP openebs_volumes_damaged Volumes whose record cannot be read.',
    '# TYPE openebs_volumes_damaged gauge',
    `openebs_volumes_damaged ${orchestrator.damaged().length}`,
  );
  return `${lines.join('\n')}\n`;
}
