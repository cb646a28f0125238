// Starts the GOV.UK components found on the page. Every page works without it.
import { initAll } from "./govuk-frontend-6.3.0.min.js";

initAll();

// An answer that travels by form (OAuth 2.0 Form Post Response Mode) goes at once; without scripts, by its button.
for (const form of document.querySelectorAll("form[data-submit-at-once]")) {
  form.submit();
}
