#!/bin/sh
# A consumer in openssl, curl and shell, written from docs/wire-protocol.md alone; the numbers are its sections.
#
#   consumer.sh token DIR     redeem the code that a sign-in gave: DIR/token
#   consumer.sh ask DIR       ask DIR/question.json; again, when DIR holds an earlier attempt
#   consumer.sh believe DIR   verify everything about the answer, then print the fields: one disclosure a line
#
# Of the environment: ISSUER, CLIENT, KEY (PEM, P-256), KID; for `token` also CODE, CODE_VERIFIER, REDIRECT_URI.
# DIR keeps what was sent and what came. Exit status 1 and one line say what does not hold. What it reads of JSON is
# what this protocol writes: members without escapes, found by name.
set -eu
LC_ALL=C
export LC_ALL

doubt() {
    printf 'not believed: %s\n' "$1" >&2
    exit 1
}

# --- Bytes and texts

b64() { openssl base64 -A; }
b64url() { b64 | tr '+/' '-_' | tr -d '='; }
from_b64url() {
    text=$(printf %s "$1" | tr '_-' '/+')
    while [ $((${#text} % 4)) -ne 0 ]; do text="$text="; done
    printf %s "$text" | openssl base64 -d -A
}
hex() { od -An -v -tx1 | tr -d ' \n'; }
from_hex() { # `printf` takes octal
    printf "$(printf %s "$1" | awk '{
        for (at = 1; at < length($0); at += 2) {
            high = index("0123456789abcdef", substr($0, at, 1)) - 1
            low = index("0123456789abcdef", substr($0, at + 1, 1)) - 1
            printf "\\%03o", high * 16 + low
        }
    }')"
}
sha256() { openssl dgst -sha256 -binary; }
random() { openssl rand "$1" | b64url; }
member() { # of a JSON object on standard input: a member that is a text or a number
    tr -d '\n' | sed -n -e "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p; t" -e "s/.*\"$1\": *\([0-9][0-9]*\).*/\1/p"
}

# --- Signatures: ES256 is r and s, 32 bytes each (RFC 7518 §3.4); openssl has them as DER

sign() { # standard input, with our key
    openssl dgst -sha256 -sign "$KEY" | openssl asn1parse -inform DER | awk -F: '/INTEGER/ {
        number = tolower($NF)
        while (length(number) < 64) number = "0" number
        printf "%s", substr(number, length(number) - 63)
    }' >"$work/signature"
    from_hex "$(cat "$work/signature")"
}
integer() { # hex to DER: no zero in front but one before a high bit
    number=$(printf %s "$1" | sed 's/^\(00\)*//')
    case $number in [89a-f]*) number=00$number ;; esac
    printf '02%02x%s' $((${#number} / 2)) "$number"
}
holds() { # holds FILE HEX-OF-SIGNATURE PUBLIC-KEY: 64 bytes over the file
    [ ${#2} -eq 128 ] || return 1
    both=$(integer "$(printf %s "$2" | cut -c1-64)")$(integer "$(printf %s "$2" | cut -c65-)")
    from_hex "$(printf '30%02x%s' $((${#both} / 2)) "$both")" >"$work/der"
    openssl dgst -sha256 -verify "$3" -signature "$work/der" "$1" >/dev/null 2>&1
}
key_of() { # key_of JWKS KID: the PEM of that key; P-256 has 26 bytes before its point (RFC 5480)
    tr -d '\n' <"$1" | tr '}' '\n' | grep "\"kid\": *\"$2\"" >"$work/jwk" || return 1
    [ "$(member crv <"$work/jwk")" = P-256 ] || return 1
    {
        from_hex 3059301306072a8648ce3d020106082a8648ce3d03010703420004
        from_b64url "$(member x <"$work/jwk")"
        from_b64url "$(member y <"$work/jwk")"
    } | openssl pkey -pubin -inform DER >"$work/key.pem" 2>/dev/null
    printf '%s' "$work/key.pem"
}
jws_holds() { # jws_holds COMPACT TYP JWKS: a JWS of this type, signed ES256 by one of these keys
    header=$(from_b64url "${1%%.*}")
    [ "$(printf %s "$header" | member typ)" = "$2" ] && [ "$(printf %s "$header" | member alg)" = ES256 ] || return 1
    pem=$(key_of "$3" "$(printf %s "$header" | member kid)") || return 1
    printf %s "${1%.*}" >"$work/signed"
    holds "$work/signed" "$(from_b64url "${1##*.}" | hex)" "$pem"
}
disclosed() { # disclosed SD-JWT CLAIMS: each field as `name: value`, if its digest is among the claims
    for disclosure in $(printf %s "${1#*\~}" | tr '~' ' '); do
        grep -qF "\"$(printf %s "$disclosure" | sha256 | b64url)\"" "$2" || doubt 'a field that nobody signed for'
        printf '%s\n' "$(from_b64url "$disclosure")" | sed 's/^\["[^"]*", *"\([^"]*\)", *\(.*\)\]$/\1: \2/'
    done
}
payload() { rest=${1#*.}; from_b64url "${rest%%.*}"; }

# --- What is published (1)

fetch() { curl --silent --show-error --fail --max-time 10 --output "$2" "$1"; }
metadata() {
    fetch "$ISSUER/.well-known/gateway-configuration" "$dir/metadata.json"
    [ "$(member issuer <"$dir/metadata.json")" = "$ISSUER" ] || doubt 'the metadata speaks for another issuer'
}
address() { member "$1" <"$dir/metadata.json"; }

# --- A token (2): private_key_jwt, and the code for which a person signed in

token() {
    metadata
    now=$(date +%s)
    head=$(printf '{"alg":"ES256","kid":"%s","typ":"JWT"}' "$KID" | b64url)
    claims=$(printf '{"iss":"%s","sub":"%s","aud":"%s","jti":"%s","iat":%s,"exp":%s}' \
        "$CLIENT" "$CLIENT" "$ISSUER" "$(random 16)" "$now" $((now + 60)) | b64url)
    assertion=$head.$claims.$(printf %s "$head.$claims" | sign | b64url)
    curl --silent --show-error --max-time 20 --output "$dir/tokens.json" "$(address token_endpoint)" \
        --data-urlencode grant_type=authorization_code \
        --data-urlencode "code=$CODE" \
        --data-urlencode "code_verifier=$CODE_VERIFIER" \
        --data-urlencode "redirect_uri=$REDIRECT_URI" \
        --data-urlencode "resource=$(address resource)" \
        --data-urlencode client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer \
        --data-urlencode "client_assertion=$assertion"
    member access_token <"$dir/tokens.json" >"$dir/token"
    [ -s "$dir/token" ] || doubt "no token: $(member error <"$dir/tokens.json")"
}

# --- A signed request (3, 4); the same key and body for a lost answer, signed anew (7)

ask() {
    metadata
    [ -s "$dir/idempotency-key" ] || openssl rand -hex 16 |
        sed 's/^\(.\{8\}\)\(.\{4\}\).\(.\{3\}\).\(.\{3\}\)\(.\{12\}\).*/\1-\2-4\3-8\4-\5/' >"$dir/idempotency-key"
    # Sections 4 and 10: the salt keeps the digest of the body, which receipts show, from being guessed back.
    [ -s "$dir/body.json" ] ||
        printf %s "$(sed "s/^ *{/{\"salt\": \"$(random 16)\", /;q" "$dir/question.json")" >"$dir/body.json"
    target=$(address exchanges_endpoint)
    printf %s "$target" >"$dir/target"
    printf 'Bearer %s' "$(cat "$dir/token")" >"$dir/authorization"
    printf 'sha-256=:%s:' "$(sha256 <"$dir/body.json" | b64)" >"$dir/content-digest"
    covered='("@method" "@target-uri" "content-digest" "authorization" "idempotency-key")'
    parameters="$covered;created=$(date +%s);nonce=\"$(random 18)\";keyid=\"$CLIENT#$KID\";tag=\"gateway-exchange\""
    {
        printf '"@method": POST\n"@target-uri": %s\n' "$target"
        printf '"content-digest": %s\n' "$(cat "$dir/content-digest")"
        printf '"authorization": %s\n' "$(cat "$dir/authorization")"
        printf '"idempotency-key": %s\n' "$(cat "$dir/idempotency-key")"
        printf '"@signature-params": %s' "$parameters"
    } >"$work/base"
    printf 'gw=%s' "$parameters" >"$dir/signature-input"
    printf 'gw=:%s:' "$(sign <"$work/base" | b64)" >"$dir/signature"
    curl --silent --show-error --max-time 30 --data-binary "@$dir/body.json" \
        --dump-header "$dir/answer-head" --output "$dir/answer-body" "$target" \
        --header 'Content-Type: application/json' \
        --header "Authorization: $(cat "$dir/authorization")" \
        --header "Idempotency-Key: $(cat "$dir/idempotency-key")" \
        --header "Content-Digest: $(cat "$dir/content-digest")" \
        --header "Signature-Input: $(cat "$dir/signature-input")" \
        --header "Signature: $(cat "$dir/signature")"
}

# --- An answer (5), a refusal (6): believed step by step

field() {
    tr -d '\r' <"$dir/answer-head" |
        awk -F': ' -v name="$1" 'tolower($1) == name { print substr($0, length(name) + 3) }'
}
status() { awk '/^HTTP/ { status = $2 } END { print status }' "$dir/answer-head"; }

believe() {
    metadata
    fetch "$(address jwks_uri)" "$dir/gateway-keys.json"
    # 1. The gateway signed this answer to this very request.
    [ "$(field content-digest)" = "sha-256=:$(sha256 <"$dir/answer-body" | b64):" ] || doubt 'the digest of the body'
    parameters=$(field signature-input | sed 's/^gw=//')
    covered=${parameters#*\(} covered=${covered%%\)*}
    for needed in '"@status"' '"content-digest"' '"@method";req' '"@target-uri";req' '"content-digest";req' \
        '"authorization";req' '"idempotency-key";req' '"signature";req' '"signature-input";req'; do
        case " $covered " in *" $needed "*) ;; *) doubt "the signature does not cover $needed" ;; esac
    done
    case $parameters in *';tag="gateway-exchange"'*) ;; *) doubt 'the signature is for something else' ;; esac
    created=$(printf %s "$parameters" | sed -n 's/.*;created=\([0-9]*\).*/\1/p') now=$(date +%s)
    [ "$created" -ge $((now - 60)) ] && [ "$created" -le $((now + 5)) ] || doubt 'the signature is not of now'
    for component in $covered; do
        case $component in
        '"@status"') value=$(status) ;;
        '"content-digest"') value=$(field content-digest) ;;
        '"@method";req') value=POST ;;
        '"@target-uri";req') value=$(cat "$dir/target") ;;
        *';req') value=$(cat "$dir/$(printf %s "$component" | sed 's/^"\(.*\)";req$/\1/')") ;;
        *) doubt "the signature covers $component" ;;
        esac
        printf '%s: %s\n' "$component" "$value"
    done >"$work/base"
    printf '"@signature-params": %s' "$parameters" >>"$work/base"
    kid=$(printf %s "$parameters" | sed -n 's/.*;keyid="\([^"]*\)".*/\1/p')
    pem=$(key_of "$dir/gateway-keys.json" "$kid") || doubt 'the key of the signature is not the gateway'"'s"
    signature=$(field signature | sed 's/^gw=:\(.*\):$/\1/')
    holds "$work/base" "$(printf %s "$signature" | openssl base64 -d -A | hex)" "$pem" ||
        doubt 'the signature of the answer'

    # 2. The receipt is the gateway's, and about this request.
    receipt=$(member receipt <"$dir/answer-body")
    [ -n "$receipt" ] || doubt "there is no receipt: $(status) $(member code <"$dir/answer-body")"
    jws_holds "$receipt" gateway-receipt+jwt "$dir/gateway-keys.json" || doubt 'the signature of the receipt'
    payload "$receipt" >"$dir/receipt.json"
    said() { member "$1" <"$dir/receipt.json"; }
    [ "$(said request_digest)" = "$(sha256 <"$dir/body.json" | b64url)" ] || doubt 'the receipt is for another request'
    [ "$(said exchange)" = "$(member exchange <"$dir/answer-body")" ] || doubt 'the receipt is for another exchange'
    if [ "$(status)" = 403 ]; then
        [ "$(said outcome)" = refused ] || doubt 'the receipt does not say refused'
        tr '{' '\n' <"$dir/answer-body" |
            sed -n 's/^"code": "\([^"]*\)", "title": "\([^"]*\)", "rule".*/refused: \1: \2/p'
        return
    fi
    [ "$(status)" = 200 ] && [ "$(said outcome)" = disclosed ] || doubt "the outcome is $(said outcome)"

    # 3. The provider signed these facts, for us, in this exchange.
    record=$(member record <"$dir/answer-body")
    jwt=${record%%\~*}
    keys=$(address member_jwks_uri | sed "s/{member}/$(said provider)/")
    fetch "$keys" "$dir/provider-keys.json"
    jws_holds "$jwt" gateway-record+sd-jwt "$dir/provider-keys.json" || doubt 'the signature of the record'
    payload "$jwt" >"$dir/record.json"
    stated() { member "$1" <"$dir/record.json"; }
    [ "$(stated iss)" = "$(said provider)" ] || doubt 'the record is of another provider'
    [ "$(stated aud)" = "$(said consumer)" ] || doubt 'the record is for somebody else'
    [ "$(stated jti)" = "$(said exchange)" ] || doubt 'the record is of another exchange'
    [ "$(stated sub)" = "$(said handle)" ] || doubt 'the record is about somebody else'
    [ "$(stated exp)" -ge "$now" ] || doubt 'the record is over'

    # 4. What arrived is what the receipt says.
    [ "$(printf %s "$jwt" | sha256 | b64url)" = "$(said provider_jwt_digest)" ] ||
        doubt 'the receipt names another record'
    disclosed "$record" "$dir/record.json" >"$work/fields"
    believe_checks >>"$work/fields"
    sed 's/.*"fields_disclosed":\[\([^]]*\)\].*/\1/' "$dir/receipt.json" | tr -d '"' | tr ',' '\n' >"$work/named"
    [ "$(cut -d: -f1 "$work/fields" | sort)" = "$(sort "$work/named")" ] ||
        doubt 'the fields are not those of the receipt'
    cat "$work/fields"
}

# --- Checks that the gateway computed (13)

believe_checks() {
    checks=$(member checks <"$dir/answer-body")
    named=$(said checks_digest)
    [ -n "$checks$named" ] || return 0
    jwt=${checks%%\~*}
    [ "$(printf %s "$jwt" | sha256 | b64url)" = "$named" ] || doubt 'the receipt names other checks'
    jws_holds "$jwt" gateway-check+sd-jwt "$dir/gateway-keys.json" || doubt 'the signature of the checks'
    payload "$jwt" >"$dir/checks.json"
    stated() { member "$1" <"$dir/checks.json"; }
    [ "$(stated iss)" = "$ISSUER" ] && [ "$(stated aud)" = "$(said consumer)" ] || doubt 'the checks are not for us'
    [ "$(stated jti)" = "$(said exchange)" ] && [ "$(stated sub)" = "$(said handle)" ] ||
        doubt 'the checks are of another exchange'
    [ "$(stated basis)" = "$(said provider_jwt_digest)" ] || doubt 'the checks rest on another record'
    [ "$(stated exp)" -ge "$now" ] || doubt 'the checks are over'
    disclosed "$checks" "$dir/checks.json"
}

command=${1:?token, ask or believe}
dir=${2:?a folder}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
case $command in
token) token ;;
ask) ask ;;
believe) believe ;;
*) doubt "there is no command $command" ;;
esac
