// Starts the GOV.UK components found on the page. Every page works without it.
import { initAll } from "./govuk-frontend-6.3.0.min.js";

initAll();
