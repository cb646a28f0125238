#!/usr/bin/env bash
# Builds what the pages are made of from pinned packages, for maintainers: the results are committed, so that neither
# running nor testing the gateway needs Node.
#
#   scripts/build-assets.sh           build into gateway/web/static/ and tests/kit/
#   scripts/build-assets.sh --check   build elsewhere and say whether what is committed is the same
#
# Needs node, npm, tar and sha256sum. GOV.UK Frontend's version is the one the macros of govuk-frontend-jinja target
# (see that package's compatibility table); change both together, and the file name in static/page.js with them.
set -euo pipefail

GOVUK_FRONTEND=6.3.0
GOVUK_FRONTEND_SHA256=3d91fd1353e32e306a8ae493b44ba9c0277348b5dbc08442a3e63d822e516048
AXE_CORE=4.14.1
AXE_CORE_SHA256=e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745
SASS=1.108.2

root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# unpack NAME VERSION SHA256: the package's files in $work/NAME, refused unless its archive is the one reviewed.
unpack() {
  (cd "$work" && npm pack --silent "$1@$2" >/dev/null)
  echo "$3  $work/$1-$2.tgz" | sha256sum --check --quiet
  mkdir "$work/$1"
  tar -xzf "$work/$1-$2.tgz" -C "$work/$1" --strip-components=1
}

unpack govuk-frontend "$GOVUK_FRONTEND" "$GOVUK_FRONTEND_SHA256"
unpack axe-core "$AXE_CORE" "$AXE_CORE_SHA256"
# Sass only compiles; nothing of it is shipped. Its optional file watcher wants to build native code: left out.
npm install --prefix "$work/tools" --silent --no-save --no-package-lock --no-audit --no-fund --ignore-scripts \
  --omit=optional "sass@$SASS"

# What is built from packages goes to $static and $kit; what we wrote ourselves (page.js, favicon) stays as it is.
static=$root/gateway/web/static
kit=$root/tests/kit
if [ "${1:-}" = --check ]; then
  static=$work/static
  kit=$work/kit
fi
mkdir -p "$static" "$kit"

dist=$work/govuk-frontend/dist
node "$work/tools/node_modules/sass/sass.js" --style=compressed --no-source-map --no-charset --quiet-deps \
  --load-path="$dist" "$root/gateway/web/styles/gateway.scss" "$static/gateway.css"
# The source map is not shipped, so the line that asks browsers for it goes too.
sed 's|//# sourceMappingURL=.*$||' "$dist/govuk/govuk-frontend.min.js" >"$static/govuk-frontend-$GOVUK_FRONTEND.min.js"
cp "$work/axe-core/axe.min.js" "$kit/axe.min.js"
cp "$work/axe-core/LICENSE" "$kit/axe.LICENSE.txt"

# The branding of GOV.UK may not appear on services elsewhere; say so here rather than find it on a page.
if grep -Eq 'GDS Transport|govuk-crest|@font-face|govuk-header__logotype' "$static/gateway.css"; then
  echo "gateway.css holds GOV.UK branding; look at gateway/web/styles/gateway.scss" >&2
  exit 1
fi

if [ "${1:-}" = --check ]; then
  for file in gateway.css "govuk-frontend-$GOVUK_FRONTEND.min.js"; do
    cmp "$static/$file" "$root/gateway/web/static/$file"
  done
  cmp "$kit/axe.min.js" "$root/tests/kit/axe.min.js"
  echo "The committed files are what the sources make."
fi
