import type { DaemonMetrics } from '../orchestrator.ts';
import { controlGet } from './control-client.ts';

export interface MetricsPlace {
  readonly labels: Readonly<Record<string, string>>;
  readonly controlSocket: string;
}

/** Prometheus text of every daemon that answers. */
export async function scrapeDaemons(
  places: readonly MetricsPlace[],
  names: Readonly<Record<string, string>>,
): Promise<DaemonMetrics[]> {
  const answers = await Promise.allSettled(
    places.map(async ({ labels, controlSocket }) => {
      const { status, body } = await controlGet(controlSocket, '/metrics');
      return { labels, names, text: status === 200 ? body : '' };
    }),
  );
  return answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
}
