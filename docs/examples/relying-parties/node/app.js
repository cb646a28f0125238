// A service that signs people in and out: Node and openid-client.
// Run: GATEWAY=… CLIENT_ID=… KEY_FILE=… PORT=… node app.js
import { randomUUID, webcrypto } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import * as client from 'openid-client'

const { GATEWAY, CLIENT_ID, KEY_FILE, PORT } = process.env
const home = `http://localhost:${PORT}`

const jwk = JSON.parse(readFileSync(KEY_FILE, 'utf8'))
const key = await webcrypto.subtle.importKey('jwk', jwk, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign'])
const config = await client.discovery(new URL(GATEWAY), CLIENT_ID, {}, client.PrivateKeyJwt({ key, kid: jwk.kid }), {
  // For a sandbox on this machine alone: everywhere else there is TLS.
  execute: GATEWAY.startsWith('http://localhost') ? [client.allowInsecureRequests] : [],
})

const visitors = new Map() // in memory: your own sessions go here

async function answer(request, response) {
  const url = new URL(request.url, home)
  const known = /library-node=([\w-]+)/.exec(request.headers.cookie ?? '')?.[1]
  const visitor = visitors.get(known)
  const goTo = (address, remembered) => {
    const id = randomUUID() // another one at every step, so that nobody signs in under a name that was known before
    visitors.delete(known)
    visitors.set(id, remembered)
    response.setHeader('Set-Cookie', `library-node=${id}; HttpOnly; SameSite=Lax; Path=/`)
    response.writeHead(302, { Location: address }).end()
  }

  if (url.pathname === '/callback' && visitor?.checks) {
    const tokens = await client.authorizationCodeGrant(config, url, visitor.checks)
    return goTo('/', { sub: tokens.claims().sub, idToken: tokens.id_token })
  }
  if (url.pathname === '/sign-out' && visitor?.sub) {
    const there = { id_token_hint: visitor.idToken, post_logout_redirect_uri: `${home}/signed-out` }
    return goTo(client.buildEndSessionUrl(config, there).href, {})
  }
  if (url.pathname === '/signed-out') return response.end('You are signed out.')
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
    const told = error.error ? `${error.error}: ${error.error_description}` : 'This sign-in did not work.'
    response.writeHead(400, { 'Content-Type': 'text/plain' }).end(told)
  })
}).listen(PORT, '127.0.0.1', () => console.log(`listening: ${home}`))
