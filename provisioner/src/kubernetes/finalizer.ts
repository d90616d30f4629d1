import { KubeError, type JsonPatchOperation, type KubeApi } from './kube-api.ts';
import type { KubeObject, Resource } from './objects.ts';

const ATTEMPTS = 5;

/**
 * Adds a finalizer to an object, or takes it away, by a patch that tests the version it was made
 * for; so no other finalizer is lost. Returns the object, or null where it is gone (or, when
 * adding, is being deleted: a finalizer can't be added any more).
 */
export const setFinalizer = async <T extends KubeObject>(
  api: KubeApi,
  resource: Resource<T>,
  object: T,
  finalizer: string,
  wanted: boolean,
): Promise<T | null> => {
  let current: T = object;
  for (let attempt = 1; ; attempt++) {
    const { metadata } = current;
    const finalizers = metadata.finalizers ?? [];
    if (finalizers.includes(finalizer) === wanted) return current;
    if (wanted && metadata.deletionTimestamp !== undefined) return null;
    const next = wanted
      ? [...finalizers, finalizer]
      : finalizers.filter((each) => each !== finalizer);
    const operations: JsonPatchOperation[] = [
      { op: 'test', path: '/metadata/resourceVersion', value: metadata.resourceVersion },
      {
        op: finalizers.length === 0 ? 'add' : 'replace',
        path: '/metadata/finalizers',
        value: next,
      },
    ];
    try {
      return await api.patch(resource, metadata, operations);
    } catch (error) {
      if (!(error instanceof KubeError)) throw error;
      if (error.isNotFound) return null;
      // 422: the test failed, somebody changed the object meanwhile.
      if ((error.status !== 422 && !error.isConflict) || attempt === ATTEMPTS) throw error;
    }
    try {
      current = await api.get(resource, metadata);
    } catch (error) {
      if (error instanceof KubeError && error.isNotFound) return null;
      throw error;
    }
    if (current.metadata.uid !== object.metadata.uid) return null;
  }
};
