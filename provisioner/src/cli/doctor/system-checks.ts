import { API_PORT, ISCSI_PORT } from '../../limits.ts';
import { tryPort } from '../../orchestrator/local/ports.ts';
import type { ApiClient } from '../api-client.ts';
import { CliFailure, EXIT } from '../failure.ts';
import { failure, ok, warning, type Finding } from './finding.ts';

/** The system that runs, or what would be in its way. */
export async function systemChecks(client: () => Promise<ApiClient>): Promise<readonly Finding[]> {
  let found: ApiClient;
  try {
    found = await client();
    const system = await found.status();
    const { items } = await found.volumes();
    return [
      ok('OpenEBS', `version ${system.version} answers at ${found.url}`),
      ...system.damaged.map(({ name, file, reason, next }) =>
        failure(`volume ${name}`, `${file}: ${reason}`, next),
      ),
      ...items.map(({ name, status, reason, next }) =>
        status === 'healthy'
          ? ok(`volume ${name}`, 'is healthy')
          : (status === 'unavailable' ? failure : warning)(
              `volume ${name}`,
              `is ${status}: ${reason ?? ''}${next === null ? '' : `; next: ${next}`}`,
              `mayactl volume describe ${name}`,
            ),
      ),
    ];
  } catch (error) {
    if (!(error instanceof CliFailure)) throw error;
    if (error.exitCode !== EXIT.unreachable) {
      return [failure('OpenEBS', error.message, error.next ?? 'mayactl status')];
    }
    return [
      warning('OpenEBS', error.message, error.next ?? 'npm start'),
      await portCheck('API port', API_PORT, '--api-port'),
      await portCheck('iSCSI port', ISCSI_PORT, '--iscsi-port'),
    ];
  }
}

async function portCheck(check: string, port: number, option: string): Promise<Finding> {
  if ((await tryPort('127.0.0.1', port)) !== null) return ok(check, `${port} is free`);
  return warning(
    check,
    `${port} is busy: npm start takes the next free one`,
    `ss -ltnp sport = :${port}   (shows who has it; ${option} chooses another)`,
  );
}
