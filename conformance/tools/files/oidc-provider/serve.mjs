// An OpenID provider on loopback with a static user, for the tests of signing people in.
// Prints one line of JSON on standard output once it listens: {"issuer": "http://127.0.0.1:PORT"}.
// Argument: the redirect URI of its clients. Signing in: POST name and password to the interaction that it redirects to, and
// with `groups` which groups the user is in from then on, joined by spaces; with none, tokens have no such claim.

import { createServer } from 'node:http';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import Provider from 'oidc-provider';

// Standard output is for the one line: whoever reads it may stop there, and a write into a closed pipe ends the process.
for (const level of ['log', 'info', 'warn']) console[level] = console.error;

const [redirectUri] = process.argv.slice(2);
const user = {
  id: '7f1c2d', name: 'Ann Example', preferred_username: 'ann', email: 'ann@example.com', email_verified: true,
  groups: ['engineering', 'releases'], password: 'correct horse battery',
};
const scopes = 'openid profile email groups';

const server = createServer();
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;

const client = (client_id, token_endpoint_auth_method) => ({
  client_id, token_endpoint_auth_method, redirect_uris: [redirectUri], grant_types: ['authorization_code'],
  response_types: ['code'],
  ...(token_endpoint_auth_method === 'none' ? {} : { client_secret: 'a secret: with + and %' }),
});
const key = (kid) => ({
  ...generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' }), kid, alg: 'RS256', use: 'sig',
});

const provider = new Provider(issuer, {
  clients: [client('basic', 'client_secret_basic'), client('post', 'client_secret_post'), client('public', 'none')],
  jwks: { keys: [key('key-1')] },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  scopes: scopes.split(' '),
  claims: { openid: ['sub'], profile: ['name', 'preferred_username'], email: ['email', 'email_verified'], groups: ['groups'] },
  conformIdTokenClaims: false,
  pkce: { required: () => true },
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_, id) => (id === user.id ? { accountId: id, claims: async () => ({ ...user, sub: id, id: undefined, password: undefined }) } : undefined),
  async loadExistingGrant(ctx) {
    const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope(scopes);
    await grant.save();
    return grant;
  },
});

const answer = provider.callback();
server.on('request', async (request, response) => {
  if (!request.url.startsWith('/interaction/')) return answer(request, response);
  try {
    await provider.interactionDetails(request, response);
    let form = '';
    for await (const piece of request) form += piece;
    const given = new URLSearchParams(form);
    const known = given.get('name') === user.preferred_username && given.get('password') === user.password;
    if (known && given.has('groups')) user.groups = given.get('groups').split(' ').filter(Boolean);
    if (user.groups?.length === 0) delete user.groups;
    const result = known ? { login: { accountId: user.id } } : { error: 'access_denied' };
    await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
  } catch (error) {
    response.statusCode = 500;
    response.end(String(error));
  }
});
process.stdout.write(`${JSON.stringify({ issuer })}\n`);
