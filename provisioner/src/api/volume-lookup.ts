import type { Orchestrator, VolumeView } from '../orchestrator/orchestrator.ts';
import { Problem } from '../problem.ts';

export async function requireVolume(orchestrator: Orchestrator, name: string): Promise<VolumeView> {
  const view = await orchestrator.volume(name, { fresh: true });
  if (view !== null) return view;
  throw new Problem('volume-not-found', `there is no volume ${name}`, {
    next: 'mayactl volume list',
  });
}

/** Nobody's file system loses its disk unless that is said twice. */
export function requireUnused(view: VolumeView, options: { force: boolean }): void {
  if (view.sessions.length === 0 || options.force) return;
  const who = [...new Set(view.sessions.map(({ initiator }) => initiator))].join(', ');
  throw new Problem('volume-in-use', `${view.sessions.length} session(s) are open: ${who}`, {
    next: 'unmount and log out there first, or force it (--force, ?force=true)',
  });
}

/** If-Match: the volume is the one that the caller has seen. */
export function requireMatch(header: string | undefined, view: VolumeView): void {
  if (header === undefined || matches(header, view)) return;
  throw new Problem('precondition-failed', `volume ${view.name} is not the one that was meant`, {
    next: `get it again: GET /v1/volumes/${view.name}`,
  });
}

export function etagOf(view: VolumeView): string {
  return `"${view.id}-${view.generation}"`;
}

/** RFC 9110 13.1.1: a list of strong entity tags, or `*`. */
function matches(header: string, view: VolumeView): boolean {
  return header
    .split(',')
    .map((tag) => tag.trim())
    .some((tag) => tag === '*' || tag === etagOf(view));
}
