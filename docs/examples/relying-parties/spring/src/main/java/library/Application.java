package library;

import java.util.Map;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.core.oidc.user.OidcUser;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

/** A service that signs people in and out: Spring Boot 3.5. */
@SpringBootApplication
@RestController
public class Application {
    public static void main(String[] arguments) {
        SpringApplication.run(Application.class, arguments);
    }

    @GetMapping("/")
    Map<String, String> home(@AuthenticationPrincipal OidcUser person) {
        return Map.of("signed_in", person.getSubject(), "email", person.getEmail());
    }

    @GetMapping("/signed-out")
    String signedOut() {
        return "You are signed out.";
    }
}
