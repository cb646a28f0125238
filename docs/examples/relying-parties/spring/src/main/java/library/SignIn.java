package library;

import com.nimbusds.jose.jwk.JWK;
import java.nio.file.Files;
import java.nio.file.Path;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.oauth2.client.endpoint.NimbusJwtClientAuthenticationParametersConverter;
import org.springframework.security.oauth2.client.endpoint.RestClientAuthorizationCodeTokenResponseClient;
import org.springframework.security.oauth2.client.oidc.web.logout.OidcClientInitiatedLogoutSuccessHandler;
import org.springframework.security.oauth2.client.registration.ClientRegistrationRepository;
import org.springframework.security.oauth2.client.web.DefaultOAuth2AuthorizationRequestResolver;
import org.springframework.security.oauth2.client.web.OAuth2AuthorizationRequestCustomizers;
import org.springframework.security.web.SecurityFilterChain;

/** How it signs them in and out: Spring Security 6.4 or newer. */
@Configuration
class SignIn {
    @Bean
    SecurityFilterChain chain(
            HttpSecurity http, ClientRegistrationRepository clients, @Value("${gateway.key-file}") Path keyFile)
            throws Exception {
        // Spring Security 7 does PKCE by itself; before it, confidential clients have to ask for it.
        var requests = new DefaultOAuth2AuthorizationRequestResolver(clients, "/oauth2/authorization");
        requests.setAuthorizationRequestCustomizer(OAuth2AuthorizationRequestCustomizers.withPkce());

        // The JWK says its kid and its algorithm.
        JWK key = JWK.parse(Files.readString(keyFile));
        var tokens = new RestClientAuthorizationCodeTokenResponseClient();
        tokens.addParametersConverter(new NimbusJwtClientAuthenticationParametersConverter<>(client -> key));

        // Spring's own page /logout asks, and signs out.
        var signingOut = new OidcClientInitiatedLogoutSuccessHandler(clients);
        signingOut.setPostLogoutRedirectUri("{baseUrl}/signed-out");

        return http.authorizeHttpRequests(every ->
                        every.requestMatchers("/signed-out").permitAll().anyRequest().authenticated())
                .logout(logout -> logout.logoutSuccessHandler(signingOut))
                .oauth2Login(login -> login
                        .authorizationEndpoint(endpoint -> endpoint.authorizationRequestResolver(requests))
                        .tokenEndpoint(endpoint -> endpoint.accessTokenResponseClient(tokens)))
                .build();
    }
}
