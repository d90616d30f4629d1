import { CHAP_SECRET_TYPE, SECRETS, type Secret } from './chap-secret.ts';

/** As kubelet looks for them. */
export const chapKeys = (
  user: string,
  password: string,
  mutualUser?: string,
  mutualPassword?: string,
): Record<string, string> =>
  Object.fromEntries(
    ['node.session.auth', 'discovery.sendtargets.auth'].flatMap((place) => [
      [`${place}.username`, user],
      [`${place}.password`, password],
      ...(mutualUser === undefined ? [] : [[`${place}.username_in`, mutualUser]]),
      ...(mutualPassword === undefined ? [] : [[`${place}.password_in`, mutualPassword]]),
    ]),
  ) as Record<string, string>;

export const chapSecret = (
  namespace: string,
  name: string,
  keys: Readonly<Record<string, string>>,
): Secret => ({
  apiVersion: SECRETS.apiVersion,
  kind: SECRETS.kind,
  metadata: { namespace, name },
  type: CHAP_SECRET_TYPE,
  data: Object.fromEntries(
    Object.entries(keys).map(([key, value]) => [key, Buffer.from(value).toString('base64')]),
  ),
});
