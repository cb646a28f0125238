// A service that signs people in: Node and openid-client.
// Run: GATEWAY=… CLIENT_ID=… KEY_FILE=… KEY_ID=… PORT=… node app.js
import { createPrivateKey, randomUUID, webcrypto } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import * as client from 'openid-client'

const { GATEWAY, CLIENT_ID, KEY_FILE, KEY_ID, PORT } = process.env
const home = `http://localhost:${PORT}`

const pkcs8 = createPrivateKey(readFileSync(KEY_FILE)).export({ type: 'pkcs8', format: 'der' })
const key = await webcrypto.subtle.importKey('pkcs8', pkcs8, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign'])
const config = await client.discovery(new URL(GATEWAY), CLIENT_ID, {}, client.PrivateKeyJwt({ key, kid: KEY_ID }), {
  // For a sandbox on this machine alone: everywhere else there is TLS.
  execute: GATEWAY.startsWith('http://localhost') ? [client.allowInsecureRequests] : [],
})

const visitors = new Map() // in memory: your own sessions go here

async function answer(request, response) {
  const url = new URL(request.url, home)
  const visitor = visitors.get(/library-node=([\w-]+)/.exec(request.headers.cookie ?? '')?.[1])
  const goTo = (address, remembered) => {
    const id = randomUUID() // another one at every step, so that nobody signs in under a name that was known before
    visitors.set(id, remembered)
    response.setHeader('Set-Cookie', `library-node=${id}; HttpOnly; SameSite=Lax; Path=/`)
    response.writeHead(302, { Location: address }).end()
  }

  if (url.pathname === '/callback' && visitor?.checks) {
    const tokens = await client.authorizationCodeGrant(config, url, visitor.checks)
    return goTo('/', { sub: tokens.claims().sub })
  }
  if (url.pathname !== '/') return response.writeHead(404).end()
  if (visitor?.sub) {
    return response.setHeader('Content-Type', 'application/json').end(JSON.stringify({ signed_in: visitor.sub }))
  }
  const checks = {
    pkceCodeVerifier: client.randomPKCECodeVerifier(),
    expectedState: client.randomState(),
    expectedNonce: client.randomNonce(),
  }
  const address = client.buildAuthorizationUrl(config, {
    redirect_uri: `${home}/callback`,
    scope: 'openid email',
    code_challenge: await client.calculatePKCECodeChallenge(checks.pkceCodeVerifier),
    code_challenge_method: 'S256',
    state: checks.expectedState,
    nonce: checks.expectedNonce,
  })
  return goTo(address.href, { checks })
}

createServer((request, response) => {
  answer(request, response).catch((error) => {
    console.error(error)
    response.writeHead(400).end('This sign-in did not work.')
  })
}).listen(PORT, '127.0.0.1', () => console.log(`listening: ${home}`))
